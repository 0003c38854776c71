"""SCIM 2.0: a company's directory adds, changes and deactivates the company's people."""
