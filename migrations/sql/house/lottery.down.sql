DROP TRIGGER lottery_winner_no_truncate ON lottery_winner;
DROP TRIGGER lottery_winner_once ON lottery_winner;
DROP FUNCTION lottery_winner_once();
DROP TRIGGER lottery_entry_no_truncate ON lottery_entry;
DROP TRIGGER lottery_entry_open ON lottery_entry;
DROP FUNCTION lottery_entry_open();
DROP TRIGGER lottery_fixed ON lottery;
DROP FUNCTION lottery_fixed();

ALTER TABLE lottery_winner
    DROP CONSTRAINT lottery_winner_counts;
DROP INDEX lottery_entry_code;
ALTER TABLE lottery_entry
    DROP CONSTRAINT lottery_entry_code_form,
    DROP CONSTRAINT lottery_entry_tickets,
    DROP CONSTRAINT lottery_entry_sources;

ALTER TABLE lottery
    DROP CONSTRAINT lottery_status_known,
    DROP CONSTRAINT lottery_filled,
    DROP CONSTRAINT lottery_times,
    DROP CONSTRAINT lottery_tickets,
    DROP CONSTRAINT lottery_prizes,
    DROP CONSTRAINT lottery_two_people,
    DROP CONSTRAINT lottery_announced,
    DROP CONSTRAINT lottery_commitment,
    DROP CONSTRAINT lottery_cancelled,
    DROP CONSTRAINT lottery_closed_when,
    DROP CONSTRAINT lottery_listed,
    DROP CONSTRAINT lottery_digest,
    DROP CONSTRAINT lottery_beacon,
    DROP CONSTRAINT lottery_beacon_two_people,
    DROP CONSTRAINT lottery_drawn,
    DROP CONSTRAINT lottery_drawn_when,
    DROP CONSTRAINT lottery_secret,
    DROP CONSTRAINT lottery_owed;
