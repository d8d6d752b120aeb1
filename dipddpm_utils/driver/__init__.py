"""Running the whole: notebooks by papermill, and set-up."""
