"""Data sets: finding or fetching their files, reading them safely, and preparing pixels for a network."""

from cnnspec.training.datasets.dataset import DataError, DataSet
from cnnspec.training.datasets.load import load_data

__all__ = ["DataError", "DataSet", "load_data"]
