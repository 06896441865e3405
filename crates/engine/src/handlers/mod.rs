//! Handlers: dispatch of an event to everything that reacts to it.
