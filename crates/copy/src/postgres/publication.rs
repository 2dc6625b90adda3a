//! What the source publishes: made and kept right by the copy, or checked where the DBA made it.
//!
//! Up to two publications: one for tables whose rows have a key, and one that publishes only
//! insertions, for tables without: there a publication of updates would make the application's own
//! updates fail. A DBA may publish all in one.

use super::connect::{ask, literal, quoted, quoted_table};
use super::describe::{PgTable, text};
use crate::{SourceError, Wanted};
use std::collections::{BTreeMap, BTreeSet};
use tokio_postgres::Client;

const WITH_KEY: &[&str] = &["insert", "update", "delete", "truncate"];
const APPEND: &[&str] = &["insert"];

/// A publication as it has to be.
struct Wish<'t> {
    name: String,
    publish: &'static [&'static str],
    tables: Vec<&'t (&'t Wanted, PgTable)>,
}

/// A publication as it is.
#[derive(Default)]
struct Found {
    all_tables: bool,
    via_root: bool,
    publish: BTreeSet<&'static str>,
    tables: BTreeMap<String, Part>,
}

/// What of a table is published.
#[derive(Default)]
struct Part {
    has_row_filter: bool,
    /// Before PostgreSQL 15 always all: `None`.
    columns: Option<BTreeSet<String>>,
}

/// What is published.
pub(crate) struct Published {
    /// The publications that are to be followed.
    pub(crate) names: Vec<String>,
    /// Tables that were not published until now.
    pub(crate) added: Vec<String>,
}

/// Makes the publications, or adds these tables to them; with `manage` off only checks them.
pub(crate) async fn publish(
    client: &Client,
    publication: &str,
    tables: &[(&Wanted, PgTable)],
    manage: bool,
) -> Result<Published, SourceError> {
    let (with_key, without): (Vec<_>, Vec<_>) =
        tables.iter().partition(|(wanted, table)| table.says_rows() && !wanted.key.is_empty());
    let mut wishes = vec![
        Wish { name: publication.to_owned(), publish: WITH_KEY, tables: with_key },
        Wish { name: format!("{publication}_append"), publish: APPEND, tables: without },
    ];
    if !manage && let Some(all) = look(client, publication).await? {
        let is_in_all =
            |table: &&(&Wanted, PgTable)| all.covers(&table.0.table) && all.publishes(APPEND);
        let (in_all, others): (Vec<_>, Vec<_>) =
            wishes.remove(1).tables.into_iter().partition(is_in_all);
        if wishes[0].tables.is_empty() {
            wishes[0].publish = APPEND;
        }
        wishes[0].tables.extend(in_all);
        let name = format!("{publication}_append");
        wishes.push(Wish { name, publish: APPEND, tables: others });
    }
    wishes.retain(|wish| !wish.tables.is_empty());
    let mut added = Vec::new();
    for wish in &wishes {
        let found = look(client, &wish.name).await?;
        if let Some(found) = &found {
            wish.check_parts(found)?;
        }
        let statements = wish.statements(found.as_ref());
        added.extend(wish.missing(found.as_ref()).map(str::to_owned));
        let by_hand = || {
            let statements = statements.join("; ");
            SourceError::Refused(format!(
                "the publication has to be made by the owner of its tables: {statements}"
            ))
        };
        if !manage && !statements.is_empty() {
            return Err(by_hand());
        }
        for sql in &statements {
            match ask(client, "making the publication", sql).await {
                Ok(_) => {}
                Err(SourceError::Refused(_)) => return Err(by_hand()),
                Err(error) => return Err(error),
            }
        }
    }
    Ok(Published { names: wishes.into_iter().map(|wish| wish.name).collect(), added })
}

/// Drops what the copy published.
pub(crate) async fn drop(client: &Client, publication: &str) -> Result<(), SourceError> {
    for name in [publication.to_owned(), format!("{publication}_append")] {
        let sql = format!("DROP PUBLICATION IF EXISTS {}", quoted(&name));
        ask(client, "dropping the publication", &sql).await?;
    }
    Ok(())
}

impl Wish<'_> {
    /// The tables that are not published. Of one that has partitions it is not known before the
    /// publication speaks of roots: until then it names its partitions.
    fn missing<'w>(&'w self, found: Option<&'w Found>) -> impl Iterator<Item = &'w str> {
        let missing = self.tables.iter().filter(move |(wanted, table)| {
            found.is_none_or(|found| {
                let is_hidden = table.partitioned && !found.via_root;
                !is_hidden && !found.covers(&wanted.table)
            })
        });
        missing.map(|(wanted, _)| wanted.table.as_str())
    }

    /// What makes a publication right that is as `found`, or not there. Tables are only added:
    /// those of the copy that are not asked for now are followed meanwhile.
    fn statements(&self, found: Option<&Found>) -> Vec<String> {
        let name = quoted(&self.name);
        let publish = self.publish.join(", ");
        let missing: Vec<String> = self.missing(found).map(quoted_table).collect();
        let missing = missing.join(", ");
        let Some(found) = found else {
            return vec![format!(
                "CREATE PUBLICATION {name} FOR TABLE {missing} WITH (publish = '{publish}', \
                 publish_via_partition_root = true)"
            )];
        };
        let mut statements = Vec::new();
        if !missing.is_empty() {
            statements.push(format!("ALTER PUBLICATION {name} ADD TABLE {missing}"));
        }
        if self.tables.iter().any(|(_, table)| table.partitioned) && !found.via_root {
            statements
                .push(format!("ALTER PUBLICATION {name} SET (publish_via_partition_root = true)"));
        }
        if !found.publishes(self.publish) {
            statements.push(format!("ALTER PUBLICATION {name} SET (publish = '{publish}')"));
        }
        statements
    }

    /// Refuses what would leave rows or columns out of the stream that the snapshot has.
    fn check_parts(&self, found: &Found) -> Result<(), SourceError> {
        for (wanted, table) in &self.tables {
            let Some(part) = found.tables.get(&wanted.table) else { continue };
            let (name, of) = (&self.name, &wanted.table);
            if part.has_row_filter {
                return Err(SourceError::Refused(format!(
                    "publication `{name}` has a row filter on `{of}`, of which the snapshot knows \
                     nothing; drop it, and say `where` in the copy file"
                )));
            }
            let Some(columns) = &part.columns else { continue };
            let mut kept =
                table.table.columns.iter().filter(|column| !wanted.left_out.contains(&column.name));
            if let Some(missing) = kept.find(|column| !columns.contains(&column.name)) {
                let missing = &missing.name;
                return Err(SourceError::Refused(format!(
                    "publication `{name}` does not publish column `{missing}` of `{of}`; publish \
                     it, or leave it out in the copy file"
                )));
            }
        }
        Ok(())
    }
}

impl Found {
    fn covers(&self, table: &str) -> bool {
        self.all_tables || self.tables.contains_key(table)
    }

    fn publishes(&self, wanted: &[&str]) -> bool {
        wanted.iter().all(|action| self.publish.contains(action))
    }
}

/// Looks a publication up; `None` if there is none.
async fn look(client: &Client, name: &str) -> Result<Option<Found>, SourceError> {
    // By JSON, because not all versions have these columns.
    let sql = format!(
        "SELECT p.puballtables, p.pubviaroot, p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate, \
           t.schemaname || '.' || t.tablename, to_jsonb(t) ->> 'rowfilter', \
           to_jsonb(t) -> 'attnames' \
         FROM pg_publication p LEFT JOIN pg_publication_tables t ON t.pubname = p.pubname \
         WHERE p.pubname = {}",
        literal(name)
    );
    let rows = ask(client, "looking at the publication", &sql).await?;
    let Some(first) = rows.first() else { return Ok(None) };
    let is = |place: usize| first.get(place) == Some("t");
    let mut found = Found { all_tables: is(0), via_root: is(1), ..Found::default() };
    found.publish =
        WITH_KEY.iter().enumerate().filter(|(n, _)| is(2 + n)).map(|(_, a)| *a).collect();
    for row in rows.iter().filter(|row| row.get(6).is_some()) {
        let columns = row.get(8).and_then(|names| serde_json::from_str(names).ok());
        let part = Part { has_row_filter: row.get(7).is_some(), columns };
        found.tables.insert(text(row, 6), part);
    }
    Ok(Some(found))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SourceTable;

    fn table(partitioned: bool) -> PgTable {
        PgTable {
            table: SourceTable {
                name: "public.t".to_owned(),
                columns: Vec::new(),
                key: vec!["id".to_owned()],
                documents: false,
                rows: None,
            },
            types: Vec::new(),
            identity: 'd',
            oid: 1,
            index: Vec::new(),
            partitioned,
        }
    }

    fn statements(partitioned: bool, found: Option<Found>) -> Vec<String> {
        let wanted = crate::testing::wanted("public.t", &["id"]);
        let table = (&wanted, table(partitioned));
        let wish = Wish { name: "p".to_owned(), publish: WITH_KEY, tables: vec![&table] };
        wish.statements(found.as_ref())
    }

    fn found(via_root: bool, tables: &[&str]) -> Found {
        Found {
            all_tables: false,
            via_root,
            publish: WITH_KEY.iter().copied().collect(),
            tables: tables.iter().map(|name| ((*name).to_owned(), Part::default())).collect(),
        }
    }

    #[test]
    fn a_publication_is_made_or_made_right() {
        let add = r#"ALTER PUBLICATION "p" ADD TABLE "public"."t""#;
        let root = r#"ALTER PUBLICATION "p" SET (publish_via_partition_root = true)"#;
        assert_eq!(
            statements(false, None),
            [
                r#"CREATE PUBLICATION "p" FOR TABLE "public"."t" WITH (publish = 'insert, update, delete, truncate', publish_via_partition_root = true)"#
            ]
        );
        assert!(statements(false, Some(found(false, &["public.t", "public.u"]))).is_empty());
        assert_eq!(statements(false, Some(found(true, &["public.u"]))), [add]);
        // Partitions are published under their own names, which nobody here knows.
        assert_eq!(statements(true, Some(found(false, &["public.t_1"]))), [root]);
        assert_eq!(statements(true, Some(found(true, &["public.u"]))), [add]);
        let mut everything = found(false, &["public.t_1"]);
        everything.all_tables = true;
        assert_eq!(statements(true, Some(everything)), [root], "also for all tables");
        let mut fewer = found(true, &["public.t"]);
        fewer.publish.remove("delete");
        assert_eq!(
            statements(false, Some(fewer)),
            [r#"ALTER PUBLICATION "p" SET (publish = 'insert, update, delete, truncate')"#]
        );
    }
}
