"""Callbacks as seen by the network: the check of their URLs, and one signed POST for one attempt."""
