//! The sentence for the person: a guess, apart from the cause, that names a key or a command.
