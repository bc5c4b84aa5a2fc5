"""Manufactured rows: generators that make rows like those of a table, for a teacher to label."""

from instar.data.synthetic.generator import FittedGenerator, RowGenerator
from instar.data.synthetic.marginals import Marginals
from instar.data.synthetic.munge import Munge
from instar.data.synthetic.naive_bayes import NaiveBayes
from instar.data.synthetic.notation import GENERATORS, parse_generator
from instar.data.synthetic.row_function import RowFunction
from instar.data.synthetic.smearing import Smearing
from instar.data.synthetic.unlabelled_table import UnlabelledTable

__all__ = [
    "GENERATORS",
    "FittedGenerator",
    "Marginals",
    "Munge",
    "NaiveBayes",
    "RowFunction",
    "RowGenerator",
    "Smearing",
    "UnlabelledTable",
    "parse_generator",
]
