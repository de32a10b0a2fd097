//! Real clients.
mod support_command;
