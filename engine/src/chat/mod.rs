//! Conversations to prompts, by the model file's own template, and answers back to messages: text,
//! reasoning and tool calls.

mod answer;
mod bounds;
mod calls;
mod known;
mod python;
mod quiet;
mod rewrite;
mod template;

pub use answer::{Answer, Format, Parser, Piece};
pub use calls::ToolCall;
pub use template::{Chat, Error, Origin, Template};
