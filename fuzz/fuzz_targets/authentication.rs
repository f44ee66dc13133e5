//! Fuzzes [`relay_fuzz::authentication`].
#![cfg_attr(fuzzing, no_main)]

relay_fuzz::target!(relay_fuzz::authentication);
