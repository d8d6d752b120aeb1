"""What is computed: every run of every profile, declared in Python. profile.py lists and looks up."""
