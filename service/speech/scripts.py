"""What is said in the demo calls: whole sentences that make sense to somebody reading along.

A tuple is one call. Numbers and names that can be written in two ways are avoided, so that the
word error rate counts mistakes of the recogniser and not of spelling.
"""

# Names of Asterisk prompts; see service/speech/prompts.py.
PROMPT_SCRIPTS = (
    (
        "conf-waitforleader",
        "conf-placeintoconf",
        "conf-onlyperson",
        "confbridge-lock-no-join",
        "conf-now-recording",
        "conf-invalid",
        "confbridge-only-participant",
        "conf-leaderhasleft",
        "conf-kicked",
        "conf-extended",
    ),
    (
        "pls-hold-while-try",
        "vm-nobodyavail",
        "queue-youarenext",
        "feature-not-avail-line",
        "ss-noservice",
        "cannot-complete-as-dialed",
        "followme/sorry",
        "privacy-unident",
        "please-try-call-later",
        "demo-thanks",
    ),
    (
        "vm-newuser",
        "vm-newpassword",
        "vm-mismatch",
        "vm-rec-unv",
        "vm-msgsaved",
        "vm-tempgreetactive",
        "vm-msgforwarded",
        "vm-tmpexists",
        "vm-mailboxfull",
        "vm-savefolder",
    ),
)

# Written for this project, for the synthetic voice.
SENTENCES = (
    (
        "Good morning, I am calling about the washing machine you delivered last week.",
        "It worked well at first, but now it stops in the middle of every wash.",
        "There is a loud noise from the back, and then the water stays in the drum.",
        "I have already cleaned the filter, and it made no difference at all.",
        "Could you please send somebody to have a look at it?",
        "Any afternoon would suit me, because I work in the mornings.",
        "Please ask the driver to ring the bell at the side of the house.",
        "Thank you very much for your help, and have a pleasant day.",
    ),
    (
        "Hello, I would like to book a room for the first weekend in June.",
        "We are a family with a small child, so a quiet room would be lovely.",
        "Is breakfast included in the price, or do we pay for it separately?",
        "My husband does not eat meat, and I hope that is not a problem.",
        "We will come by train and should arrive early in the evening.",
        "Is it far to walk from the station, or should we take a taxi?",
        "Please send the confirmation to the address that you have on file.",
        "That sounds perfect, and we are looking forward to our visit.",
    ),
    (
        "Hi, this is a message for the doctor from the mother of a patient.",
        "My son has had a fever since yesterday, and he is not sleeping well.",
        "We gave him plenty of water and the medicine from the pharmacy.",
        "This morning his throat is sore, and he does not want to eat.",
        "I am not sure whether we should wait or bring him in today.",
        "Could the nurse call me back before lunch, if there is time?",
        "I will keep the telephone beside me for the whole morning.",
        "Thanks a lot, and sorry for talking so fast.",
    ),
    (
        "Good evening, I am trying to find a parcel that never arrived.",
        "The website says that it was left with a neighbor on our street.",
        "I have asked everybody in the building, and nobody has seen it.",
        "It is a birthday present, so I am getting a little worried.",
        "The box is quite large, and it has a red label on the top.",
        "Can you tell me where the driver was when he closed the order?",
        "If it is lost, I would rather have a new one than the money.",
        "Please let me know as soon as you hear something.",
    ),
    (
        "Hello, I have a question about the last bill that I received.",
        "It is almost twice as high as the bill for the month before.",
        "We were away on holiday, and all the lights were turned off.",
        "Perhaps someone made a mistake when they were reading the meter.",
        "I took a picture of it this morning and can send it to you.",
        "Should I pay the bill now or wait until you have checked it?",
        "I have been a customer for many years and never had any trouble.",
        "All right, then I will wait for your letter, goodbye.",
    ),
)
