"""Dual control: requests that take effect once two other people have approved them."""
