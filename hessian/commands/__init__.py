"""What the command line does: data sets, training, comparison of methods, and what a run leaves behind."""
