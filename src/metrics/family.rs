// SPDX-License-Identifier: GPL-3.0-or-later

//! How a family of metrics is declared: a row with its name, and what is written above the row is its help.

use prometheus::core::Collector;
use prometheus::{
    Counter, CounterVec, Error, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec,
    IntGauge, IntGaugeVec, Opts, Registry,
};

use super::labels::LabelSet;

/// What is said of a family.
pub(super) struct Description {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    /// The upper bounds of a histogram's buckets; none for what is no histogram.
    pub(super) buckets: &'static [f64],
}

/// A metric, or one for each value of its labels.
pub(super) trait Family: Sized {
    /// Makes it and has it written from now on.
    ///
    /// # Errors
    /// When the name is none, or is there twice.
    fn register(registry: &Registry, description: &Description) -> Result<Self, Error>;
}

/// A metric for each value of a label.
#[derive(Debug)]
pub(super) struct By<L, M> {
    first: M,
    all: Vec<(L, M)>,
}

/// A metric that can have labels.
pub(super) trait Labelled: Clone + Sized {
    /// All of one name.
    type Vector: Collector + Clone + 'static;

    /// Makes the vector.
    ///
    /// # Errors
    /// When a name is none.
    fn vector(description: &Description, labels: &[&str]) -> Result<Self::Vector, Error>;

    /// The one with these values.
    ///
    /// # Errors
    /// When there are more or fewer values than labels.
    fn of(vector: &Self::Vector, values: &[&str]) -> Result<Self, Error>;
}

impl<L: LabelSet, M: Labelled> Family for By<L, M> {
    fn register(registry: &Registry, description: &Description) -> Result<Self, Error> {
        let vector = M::vector(description, &L::names())?;
        registry.register(Box::new(vector.clone()))?;
        let one = |label: L| Ok((label, M::of(&vector, &label.values())?));
        let all = L::all().into_iter().map(one).collect::<Result<Vec<_>, Error>>()?;
        let first = all.first().map(|(_, metric)| metric.clone());
        let first = first.ok_or_else(|| Error::Msg(format!("{}: no value", description.name)))?;
        Ok(Self { first, all })
    }
}

impl<L: LabelSet, M> By<L, M> {
    /// The metric with this value: all have been made.
    pub(super) fn of(&self, label: &L) -> &M {
        let found = self.all.iter().find(|(other, _)| other == label);
        found.map_or(&self.first, |(_, metric)| metric)
    }
}

impl<L: LabelSet> By<L, IntGauge> {
    /// 1 for this value, 0 for the others; `None`: 0 for all.
    pub(super) fn set_only(&self, label: Option<L>) {
        for (other, gauge) in &self.all {
            gauge.set((Some(*other) == label).into());
        }
    }
}

/// The metrics of the library that have no buckets.
macro_rules! simple {
    ($($Metric:ty, $Vector:ty;)+) => {$(
        impl Family for $Metric {
            fn register(registry: &Registry, description: &Description) -> Result<Self, Error> {
                let metric = Self::new(description.name, description.help)?;
                registry.register(Box::new(metric.clone()))?;
                Ok(metric)
            }
        }

        impl Labelled for $Metric {
            type Vector = $Vector;

            fn vector(description: &Description, labels: &[&str]) -> Result<$Vector, Error> {
                <$Vector>::new(Opts::new(description.name, description.help), labels)
            }

            fn of(vector: &$Vector, values: &[&str]) -> Result<Self, Error> {
                vector.get_metric_with_label_values(values)
            }
        }
    )+};
}

simple! {
    Counter, CounterVec;
    IntCounter, IntCounterVec;
    Gauge, GaugeVec;
    IntGauge, IntGaugeVec;
}

fn histogram_options(description: &Description) -> HistogramOpts {
    HistogramOpts::new(description.name, description.help).buckets(description.buckets.to_vec())
}

impl Family for Histogram {
    fn register(registry: &Registry, description: &Description) -> Result<Self, Error> {
        let metric = Self::with_opts(histogram_options(description))?;
        registry.register(Box::new(metric.clone()))?;
        Ok(metric)
    }
}

impl Labelled for Histogram {
    type Vector = HistogramVec;

    fn vector(description: &Description, labels: &[&str]) -> Result<HistogramVec, Error> {
        HistogramVec::new(histogram_options(description), labels)
    }

    fn of(vector: &HistogramVec, values: &[&str]) -> Result<Self, Error> {
        vector.get_metric_with_label_values(values)
    }
}

/// Families as a struct. A row is a field, its type and its name, and for a histogram its buckets. The comment above it is the
/// help that Prometheus shows.
macro_rules! families {
    ($(#[doc = $about:literal])+ $Struct:ident {$(
        $(#[doc = $help:literal])+
        $field:ident: $Type:ty = $name:literal $(, in $buckets:expr)?;
    )+}) => {
        $(#[doc = $about])+
        #[derive(Debug)]
        pub(super) struct $Struct {
            $($(#[doc = $help])+ pub(super) $field: $Type,)+
        }

        impl $Struct {
            /// The name and the help of each.
            pub(super) const ROWS: &[(&str, &str)] = &[$(($name, concat!($($help),+).trim_ascii()),)+];

            /// Makes them, and has them written.
            ///
            /// # Errors
            /// When a name is none, or is there twice.
            pub(super) fn register(registry: &prometheus::Registry) -> Result<Self, prometheus::Error> {
                Ok(Self {
                    $($field: $crate::metrics::family::Family::register(registry, &$crate::metrics::family::Description {
                        name: $name,
                        help: concat!($($help),+).trim_ascii(),
                        buckets: {
                            let buckets: &[&[f64]] = &[$(&$buckets,)? &[]];
                            buckets[0]
                        },
                    })?,)+
                })
            }
        }
    };
}
pub(super) use families;
