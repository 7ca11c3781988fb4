"""The ground floor: schema, store and caches, recipes as typed configs, the policy page, contracts, errors, progress."""
