//! From numbers to places: an axis with steps that people can read off.

/// A scale from zero to a round number.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scale {
    /// The end of the axis.
    pub(crate) most: f64,
    /// Marks on it, from zero on.
    pub(crate) marks: Vec<f64>,
}

impl Scale {
    /// An axis on which `most` fits, with four to six marks.
    pub(crate) fn up_to(most: f64) -> Scale {
        let most = if most.is_finite() && most > 0.0 { most } else { 1.0 };
        let rough = most / 4.0;
        let power = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 2.5, 5.0, 10.0]
            .into_iter()
            .map(|step| step * power)
            .find(|step| *step >= rough * 0.999)
            .unwrap_or(10.0 * power);
        let count = (most / step).ceil().max(1.0);
        let marks = (0..=count as u32).map(|at| f64::from(at) * step).collect();
        Scale { most: count * step, marks }
    }

    /// Where a value stands on `length` units.
    pub(crate) fn place(&self, value: f64, length: f64) -> f64 {
        (value / self.most).clamp(0.0, 1.0) * length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_numbers() {
        let ends: Vec<(f64, usize)> = [0.0, 0.07, 0.3, 3.0, 8.0, 97.0, 1234.0]
            .into_iter()
            .map(|most| (Scale::up_to(most).most, Scale::up_to(most).marks.len()))
            .map(|(most, marks)| ((most * 1000.0).round() / 1000.0, marks))
            .collect();
        let expected = [(1.0, 5), (0.08, 5), (0.3, 4), (3.0, 4), (8.0, 5), (100.0, 5), (1500.0, 4)];
        assert_eq!(ends, expected);
        assert_eq!(Scale::up_to(100.0).place(50.0, 200.0), 100.0);
        assert_eq!(Scale::up_to(f64::NAN).place(3.0, 10.0), 10.0);
    }
}
