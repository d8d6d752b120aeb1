"""The run store: configuration -> hash -> folder -> record."""
