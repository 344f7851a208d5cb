"""One module for each program: a function for each task that it can do, handed to `served.serve`."""
