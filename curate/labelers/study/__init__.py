"""Labels one can stand behind: adapt the general head to a variety, measure labelers, choose rows for people to label."""
