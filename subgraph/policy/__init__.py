"""The authorisation decision point and its Rego."""
