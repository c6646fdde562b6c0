//! Puts the rooms together and keeps them running.
