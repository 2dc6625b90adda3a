//! Metrics: what is declared, and each as a chart with the same numbers in a table under it.

mod answer;
mod ask;
mod chart;
mod csv;
mod declared;
mod definition;
mod journey;
mod list;
mod numbers;
mod page;
mod question;
mod spark;

pub(super) use ask::{Asked, ask};
pub(super) use chart::draw;
pub(super) use csv::{csv, svg};
pub(super) use declared::{Declared, declared};
pub(super) use journey::{
    Journey, ask as ask_journey, draw as draw_journey, is_empty as is_empty_journey,
};
pub(super) use list::{card, card_numbers, list};
pub(super) use numbers::{legend, summary};
pub(super) use page::page;
pub(super) use question::{Chart, Compare, MetricQuestion, PARAMS, link_to};
