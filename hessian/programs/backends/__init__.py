"""What turns sections with places into something that runs."""
