"""What runs programs: recorded functions, their cache, verification, a program at a point."""
