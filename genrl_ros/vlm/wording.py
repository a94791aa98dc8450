"""What the words of a request say by themselves: what it forbids, and whether it halts or asks.

Sentence models hardly hear a negation: "do not open it" lies beside "open it". So negation is read
from the words, clause by clause. A prohibition ends at a comma, a full stop or a word such as
"but"; an "and" does not end it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_CLAUSE_ENDS = re.compile(
    r'[,;:.!?()]+|\s-+\s|\b(?:but|then|although|though|because|so|instead(?! of))\b'
)
_ENCOURAGED = re.compile(
    r"\b(?:do not|don't|dont|never|cannot|can't) "
    r'(?:forget|hesitate|fail|neglect|refuse|be afraid|be shy|be scared)(?: to\b)?'
    r"|\bnot (?:only|just|merely)\b(?=.*\bbut also\b)|\bwhy (?:not|don't you)\b|\bnever mind\b"
)
"""Negations that forbid nothing."""
_STILL = re.compile(
    r"\b(?:(?:does|did|is|are|was|were)(?: not|n't)|nothing|hardly)\s+(?:\w+ly\s+)?"
    r'(?:mov|budg|chang|happen|react|respond|stir|giv(?:e|es|ing) way)\w*\b'
    r'(?!\s+(?:the|an?|my|your|it|this|that|any)\b)'
)
"""That nothing moves is something to see; no order."""
_NEGATED = re.compile(
    r"\b(?:not|never|cannot|dont|nobody|no one|none|neither|nor|no \w+ing)\b|n't\b"
    r'|\b(?:under|by|on|in|at) no (?:circumstances?|means|account|case|time|condition)\b'
)
_DETERRED = re.compile(
    r'\b(?:avoid\w*|refrain\w*|abstain\w*|prevent\w*|forbid\w*|forbade|prohibit\w*|bann?(?:ed)?'
    r'|ceas(?:e|ing)|quit|cancel\w*|skip\w*|abort\w*|ignor\w+|refus\w+|undesired|unwanted'
    r'|stop \w+ing|hands? off|off[- ]limits|forget (?:about|the|it)|keep (?:away|clear|off|out)'
    r'|(?:stay|steer|move|go|get) (?:away|clear) (?:from|of)|beware|spar(?:e|ing)|taboo'
    r'|(?:bad|terrible|stupid|dangerous|wrong) idea|(?:dangerous|wrong|unsafe|illegal) to)\b'
    r'|\b(?:keep|keeps|keeping|stay|stays)\b.*\b(?:from \w+ing|out of|off|away|clear)\b'
    r'|\b(?:leave|leaves|leaving|be left|keep|keeps|keeping|kept|stay|stays|remain|remains)\b.*'
    r'\b(?:alone|closed|shut|off|untouched|unopened|unlit|dark|cold|locked|in peace)\b'
    r'|\b(?:leave|leaves|leaving|be left|keep'
    r'|(?:let|must|should|shall|has to|have to|needs? to|ought to)\b.* (?:stay|remain|rest))'
    r'\b.*\b(?:as|the way|where) (?:it|they|the)\b'
    r'|\blet\b.*\b(?:be|alone)$'
)
_CUT = re.compile(r'\b(?:without|instead of|rather than|in place of|not (?:the|a|an|my|that)\b).*')
"""From here to the end of the clause something is denied, and not what stands before."""
_EXCEPT = re.compile(
    r'\b(?:except|unless|other than|apart from|any(?:thing)? but|everything but|all but)\b'
)
_REFUSAL = re.compile(
    r'^(?:(?:please|oh|well|of course|certainly|rather|better|\w+ly|i think|i hope) )*'
    r'(?:no|nope|nah|not|never|no way|not really)'
    r'(?: (?:at all|now|today|please|thanks|thank you))*$'
)
_BACK_REFERENCE = re.compile(r'\b(?:do|try|even) (?:it|that|this|so)\b|\bon second thoughts?\b')
_DENIAL = re.compile(
    r"\b(?:no|not|never|cannot|none|nobody|nothing|without|hardly|neither|nor|dont)\b|n't\b"
)
_JOINT = re.compile(
    r'[,;+&]|\b(?:and|then|or|all|every\w*|both|each|also|plus|before|after|while|first|them'
    r'|whatever|together|as well|anything|followed)\b'
)
_HALTS = re.compile(
    r'^(?:emergency stop|emergency|e ?stop|stop|halt|wait|pause|abort|cancel|quit|enough|hold on'
    r'|stand by|whoa)(?: (?:it|that|this|there|now|all|everything|moving|driving|robot|the robot'
    r'|the arm|a moment|a second|at once|immediately|right now|please))*$'
)
_QUESTION = re.compile(
    r'^(?:how|what|why(?! (?:not|don.t you))|where|who|whose|whom|when|which|is|are|was|were|does'
    r'|did|has|had|do (?:you|we|they|i)|am)\b'
)
"""How questions begin that ask for an answer; "can you" asks for an act."""
_ADDRESS = re.compile(r'^(?:please|robot|hey|ok|now|oh|no|immediately)\s+')


@dataclass(frozen=True)
class Wording:
    """What the words of a sentence say by themselves.

    Attributes:
        forbids: whether a clause says what is not to be done.
        affirmed: what is left without such clauses; '' if nothing is, or all is taken back.
        denies: whether there is any word of denial.
        joins: whether there is a word or sign that joins requests, or that means all things.
        halts: whether it asks to stop the robot, and for no task.
        asks: whether it is a question.
    """

    forbids: bool
    affirmed: str
    denies: bool
    joins: bool
    halts: bool
    asks: bool


def read_wording(sentence: str) -> Wording:
    """Read the negations of an English sentence."""
    text = ' '.join(sentence.lower().replace('\u2019', "'").split())
    plain = _ENCOURAGED.sub(' ', text)
    clauses = [clause for part in _CLAUSE_ENDS.split(plain) if (clause := part.strip())]
    kept = [_affirm(clause) for clause in clauses]
    cut = [clause for clause, rest in zip(clauses, kept, strict=True) if rest != clause]
    forbids = bool(cut)
    taken_back = (
        bool(_EXCEPT.search(plain))
        or any(map(_REFUSAL.search, clauses))
        or any(map(_BACK_REFERENCE.search, cut))
    )
    affirmed = '' if taken_back else ', '.join(filter(None, kept))
    return Wording(
        forbids=forbids or taken_back,
        affirmed=affirmed,
        denies=forbids or taken_back or bool(_DENIAL.search(plain)),
        joins=bool(_JOINT.search(text)),
        halts=bool(_HALTS.search(_bare(text))),
        asks=bool(_QUESTION.search(_bare(text))),
    )


def _affirm(clause: str) -> str:
    """A clause without what it denies; '' if it is a prohibition."""
    clause_of_motion = _STILL.sub(' ', clause)
    rest = _CUT.sub('', clause_of_motion).strip()
    if _REFUSAL.search(clause) or _NEGATED.search(rest) or _DETERRED.search(rest):
        return ''
    return _CUT.sub('', clause).strip() if _CUT.search(clause_of_motion) else clause


def _bare(text: str) -> str:
    """The words of a sentence without whom it speaks to."""
    words = ' '.join(re.sub(r"[^a-z' ]+", ' ', text).split())
    while (shorter := _ADDRESS.sub('', words)) != words:
        words = shorter
    return words
