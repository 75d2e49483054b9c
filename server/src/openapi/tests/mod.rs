//! The description against the code: what is registered, what is refused, what is answered, and its own form.

mod answers;
mod conditions;
mod form;
mod numbers;
mod routes;
mod trail;
