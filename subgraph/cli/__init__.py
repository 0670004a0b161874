"""The command line `ig`, one module a command group."""
