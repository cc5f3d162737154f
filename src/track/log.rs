//! Where log lines go and how they look: text for people, JSON for programs.
