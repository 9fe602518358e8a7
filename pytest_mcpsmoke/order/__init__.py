"""What runs of the same tests tell together: rates, and what may be concluded from them."""
