"""What grows branches. Import the module of the policy you want; some need an extra."""
