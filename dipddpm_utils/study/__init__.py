"""What is computed: every run of every profile, declared in Python. Look-ups are in profile.py, the list in declare.py."""
