"""Stages: each one file, one frozen config, one behaviour; `STAGES` in table.py is the whole list.

The list is a file of its own so that a script that uses one stage does not import what all of them need.
"""
