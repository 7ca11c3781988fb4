"""Labels one can stand behind: adapt the general head to a variety, measure labelers, weigh them against each other."""
