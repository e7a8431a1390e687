"""The stream as memory and outlet: its layout, both writes, what is read back at an opening, leases."""
