"""What the findings and the words of the language mean, as pages of Markdown for `cnnspec explain`.

`<code>.md` explains a diagnostic, `words/<word>.md` a word of the language; both begin with a line
`# name: summary`. What stands for a class (a layer kind, a setting) is explained from the class.
"""

from cnnspec.explanations.pages import Page, codes, words
from cnnspec.explanations.topics import Topic, topics

__all__ = ["Page", "Topic", "codes", "topics", "words"]
