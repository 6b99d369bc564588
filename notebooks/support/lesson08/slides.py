"""Texts that stand on the slides: D2-12's three snippets, D2-15's sentences with their letters."""

# three pieces of text on which a neuron of the paper's model fires for words in capitals
SNIPPETS = (
    "Remove from fire and drain on absorbent paper. Serve at once while piping hot. Some people "
    "stick a toothpick in each cheese ball.\n\nANCHOVY CHEESE CANAPÉ_(Quickie!_)\nOR SANDWICH "
    "SPREAD",
    "includes information on smartphones, facial recognition, and social networks.\n\n1\n\nHOW "
    "THIS BOOK CAN MAKE YOU INVISIBLE\n\nOne day you can be on the top of the world; the next day "
    "you can be in hell.",
    "In short, the lives of both the Brothers and the Hallway Hangers have been severely "
    "circumscribed by their subordinate position.\n\nRACIAL DOMINATION: INVIDIOUS BUT "
    "INVISIBLE\n\nBoth the Brothers and the Hallway Hangers are victims of class exploitation",
)
# {letter:word}: a group, which had a colour on the slide; "?": no group of ours
SENTENCES = (
    "This is a {B:sentence} where I {E:talk} about {?:interesting} stuff like {B:sencha} tea.",
    "I love {A:running}, but I hurt my {?:ankle} last time I tried!",
    "The {?:following} {D:paper} describes a new {D:method} for {A:inferring} unseen attributes- "
    "{A:using} just {D:model} predictions.",
    "Some people think {D:AI} is {A:becoming} {B:sentient}, but that is debatable.",
    "I ate {C:Corgi}-shaped cupcakes yesterday. They were delicious!",
    "Have you seen my {C:cat} anywhere?",
    "I'll be {A:sleeping} by the time this {?:movie} finishes",
    "My assignment is due today!!",
    "Are you {A:craving} some {?:chocolate}?",
    "Meet my new {C:cat}- {C:Gustavo}",
    "Can you {E:help} me {E:solve} for x: $5x - 25x^2 + 300 = 0$",
)
UNSEEN = (  # the course's own, scored and not shown
    "The king was {A:eating} a pudding in the evening while it was {A:raining}.",
    "A {B:senior} {B:senator} {B:sent} nobody, and the absent ones felt sorry.",
    "The {C:dog} chased a concatenated {C:kitten}.",
    "This {D:dataset} and that {D:network} {E:run} well; please {E:look} at the {D:results}.",
)
KEYS = {
    "A": "The slide's key: a verb with “ing”. A suffix alone also catches king, pudding, evening, "
    "and on the slide following and interesting.",
    "B": "The slide's key: the prefix “sen”.",
    "C": "Our reconstruction: animals and their names.",
    "D": "Our reconstruction: words of research.",
    "E": "Our reconstruction: plain verbs, things to do.",
}
