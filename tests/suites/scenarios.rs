//! The texts in `scenarios/`, each on both databases.

macro_rules! scenarios {
    ($($name:ident = $file:literal),+ $(,)?) => {
        $(on_both! {
            fn $name(world) {
                tests::script::play($file, include_str!(concat!("../scenarios/", $file)), world);
            }
        })+

        /// A text that nobody plays would rot.
        #[test]
        fn every_scenario_in_the_folder_is_played() {
            let played = [$($file),+];
            let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
            for entry in std::fs::read_dir(folder).unwrap() {
                let name = entry.unwrap().file_name().into_string().unwrap();
                assert!(played.contains(&name.as_str()), "{name} is not in the list above");
            }
        }
    };
}

scenarios! {
    an_approved_change_is_applied_once_and_can_be_proved = "approved-change.txt",
    packages_go_exactly_where_they_were_approved = "packages.txt",
    a_failing_health_check_takes_everything_back = "failing-health.txt",
    nothing_starts_outside_its_window = "windows.txt",
    nothing_starts_in_a_blackout = "blackouts.txt",
    windows_that_a_law_has_moved_are_signed_anew = "zones.txt",
    windows_are_taken_from_a_calendar_and_elsewhere_is_a_conflict = "maintenance.txt",
    a_freeze_from_a_subscribed_calendar_holds_until_somebody_says_otherwise = "subscribed.txt",
    whatever_stops_a_change_stops_it_on_the_host = "stops.txt",
    a_host_that_would_do_more_than_approved_does_nothing = "drift.txt",
    a_program_that_was_exchanged_after_the_approval_is_not_run = "programs.txt",
    nobody_follows_a_failed_canary = "waves.txt",
    one_plan_class_after_the_other_holds_nobody_back = "classes.txt",
    what_is_declared_by_hand_and_by_tables_is_listed_walked_and_compared = "cmdb.txt",
    what_operators_set_and_look_at_beside_changes_works = "upkeep.txt",
    changes_come_again_follow_an_order_and_are_moved_together = "many.txt",
    hosts_that_everybody_left_out_are_not_waited_for = "left-out.txt",
    hosts_work_without_the_server_and_catch_up = "server-away.txt",
    hosts_work_without_the_server_for_days_and_hand_in_everything_in_order = "server-away-for-days.txt",
    a_host_with_a_wrong_clock_starts_nothing = "clock.txt",
    a_clock_that_jumps_opens_nothing_and_leaves_nothing_behind = "clock-jumps.txt",
    what_people_say_is_shown_answered_and_proved = "said.txt",
    a_new_revision_begins_without_approvals = "revisions.txt",
    what_others_do_to_packages_is_told_once_and_what_was_approved_is_not = "packages-by-hand.txt",
    what_nobody_approved_is_found_told_and_judged = "findings.txt",
    equal_findings_are_judged_together_and_each_for_itself = "findings-alike.txt",
    what_was_done_by_hand_is_accepted_afterwards_and_can_be_proved = "retroactive.txt",
    health_is_looked_at_after_changes_as_well = "health.txt",
    what_an_approval_stands_for_is_put_back = "corrections.txt",
    everything_expired_means_no_new_change_and_nobody_dead = "expired.txt",
    what_programs_read_is_one_document_each_time = "for-programs.txt",
}
