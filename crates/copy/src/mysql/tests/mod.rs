//! A real MariaDB and a real MySQL: each test here runs against both, but those of what only one
//! of them has.

mod changes;
mod database;
mod locks;
mod log_forms;
mod mistakes;
mod types;

use crate::testing::runtime;
use database::Brand;

macro_rules! against {
    ($module:ident, $brand:expr, $($group:ident::$test:ident,)*) => {
        mod $module {
            use super::*;
            $(
                #[test]
                fn $test() {
                    let name = concat!(stringify!($module), "::", stringify!($test));
                    runtime().block_on($group::$test($brand, name));
                }
            )*
        }
    };
}

macro_rules! against_both {
    ($($test:tt)*) => {
        against!(mariadb, Brand::Maria, $($test)*);
        against!(mysql, Brand::Mysql, $($test)*);
    };
}

against_both! {
    types::every_type_reads_the_same_both_ways,
    changes::the_target_becomes_what_the_source_is,
    changes::columns_come_and_go,
    changes::a_purged_log_is_told_from_a_server_that_is_away,
    changes::the_place_goes_on_while_others_write,
    log_forms::rows_without_their_unchanged_blobs,
    log_forms::what_the_log_says_in_part_is_copied_anew,
    log_forms::transactions_in_two_phases,
    log_forms::a_table_made_of_a_query_comes_whole,
    mistakes::what_a_person_can_do_wrong_is_said,
    mistakes::another_replica_with_our_number_is_named,
    locks::tls_and_passwords,
}

against! {
    only_mysql, Brand::Mysql,
    log_forms::compressed_transactions,
    log_forms::parts_of_json_are_refused,
    log_forms::tags_are_refused,
}
