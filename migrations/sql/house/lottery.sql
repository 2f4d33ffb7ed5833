-- Lotteries: what the tables themselves promise.
ALTER TABLE lottery
    ADD CONSTRAINT lottery_status_known CHECK (status IN ('draft', 'in_review', 'published', 'closed', 'drawn', 'cancelled', 'discarded')),
    ADD CONSTRAINT lottery_filled CHECK (length(btrim(title)) > 0 AND length(btrim(document)) > 0),
    ADD CONSTRAINT lottery_times CHECK (opens_at < closes_at AND closes_at <= draw_at),
    ADD CONSTRAINT lottery_tickets CHECK (max_tickets BETWEEN 1 AND 50),
    ADD CONSTRAINT lottery_prizes CHECK (jsonb_typeof(prizes) = 'array' AND jsonb_array_length(prizes) BETWEEN 1 AND 20),
    -- Two people for what costs money (D35): whoever edited last may not publish.
    ADD CONSTRAINT lottery_two_people CHECK (status IN ('draft', 'in_review', 'discarded') OR (published_by IS NOT NULL AND published_by <> created_by)),
    ADD CONSTRAINT lottery_announced CHECK (num_nulls(published_by, published_at, commitment, secret_sealed)
        = CASE WHEN status IN ('draft', 'in_review', 'discarded') THEN 4 ELSE 0 END
        AND (status IN ('draft', 'in_review', 'discarded')) = (announcement = '')),
    ADD CONSTRAINT lottery_commitment CHECK (length(commitment) = 32),
    ADD CONSTRAINT lottery_cancelled CHECK (num_nulls(cancelled_by, cancelled_at) = CASE status WHEN 'cancelled' THEN 0 ELSE 2 END
        AND (status = 'cancelled') = (length(btrim(cancel_reason)) > 0)),
    ADD CONSTRAINT lottery_closed_when CHECK ((status IN ('closed', 'drawn')) = (closed_at IS NOT NULL) AND closed_at >= closes_at),
    ADD CONSTRAINT lottery_listed CHECK (num_nulls(listed_at, digest, entries, tickets) IN (0, 4) AND (digest IS NULL OR closed_at IS NOT NULL)),
    ADD CONSTRAINT lottery_digest CHECK (length(digest) = 32 AND entries >= 0 AND tickets >= entries),
    -- The outside number must not influence the list: it is written when the list is public, and by two people.
    ADD CONSTRAINT lottery_beacon CHECK (beacon IS NULL OR (digest IS NOT NULL AND beacon_source <> '' AND length(btrim(beacon)) > 0)),
    ADD CONSTRAINT lottery_beacon_two_people CHECK ((beacon IS NULL) = (beacon_by IS NULL)
        AND (beacon_confirmed_by IS NULL OR (beacon_by IS NOT NULL AND beacon_confirmed_by <> beacon_by))),
    ADD CONSTRAINT lottery_drawn CHECK (num_nulls(drawn_at, secret, winners) = CASE status WHEN 'drawn' THEN 0 ELSE 3 END
        AND (status <> 'drawn' OR (digest IS NOT NULL AND (beacon_source = '' OR beacon_confirmed_by IS NOT NULL)))),
    ADD CONSTRAINT lottery_drawn_when CHECK (drawn_at >= draw_at),
    ADD CONSTRAINT lottery_secret CHECK (sha256(secret) = commitment),
    ADD CONSTRAINT lottery_owed CHECK (owed_at IS NULL OR status = 'drawn'),
    -- A second draw is among those of the first who won nothing: nobody enters by himself, and it closes when all of them are in it.
    ADD CONSTRAINT lottery_second_of FOREIGN KEY (second_of) REFERENCES lottery (id) ON DELETE RESTRICT,
    ADD CONSTRAINT lottery_second CHECK (second_of IS NULL OR second_of <> id AND NOT self_entry),
    ADD CONSTRAINT lottery_carried CHECK (CASE WHEN second_of IS NULL OR status IN ('draft', 'in_review', 'discarded') THEN carried_at IS NULL
        ELSE status NOT IN ('closed', 'drawn') OR carried_at IS NOT NULL END);
-- What was not delivered is drawn once more, not twice.
CREATE UNIQUE INDEX lottery_second_once ON lottery (second_of) WHERE status NOT IN ('cancelled', 'discarded');

-- Codes are sorted as bytes wherever the database stands: the published list is in this order.
ALTER TABLE lottery_entry
    ALTER COLUMN code TYPE varchar(20) COLLATE "C",
    ADD CONSTRAINT lottery_entry_code_form CHECK (code ~ '^[0-9A-HJKMNP-TV-Z]{20}$'),
    ADD CONSTRAINT lottery_entry_tickets CHECK (tickets BETWEEN 1 AND 50),
    ADD CONSTRAINT lottery_entry_sources CHECK (jsonb_typeof(sources) = 'array' AND jsonb_array_length(sources) BETWEEN 1 AND 50);
CREATE UNIQUE INDEX lottery_entry_code ON lottery_entry (lottery_id, code) INCLUDE (tickets);
ALTER TABLE lottery_score ALTER COLUMN code TYPE varchar(20) COLLATE "C";
ALTER TABLE lottery_winner
    ADD CONSTRAINT lottery_winner_counts CHECK (rank > 0 AND place > 0 AND ticket > 0);

-- What was published is what residents were told: only its course goes on, and each step of it is written once.
CREATE FUNCTION lottery_fixed() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    steps constant text[] := ARRAY['carried_at', 'cancelled_by', 'cancelled_at', 'closed_at', 'listed_at', 'digest', 'entries', 'tickets',
        'beacon_confirmed_by', 'drawn_at', 'secret', 'winners', 'owed_at'];
    course constant text[] := steps || ARRAY['status', 'revision', 'changed_at', 'cancel_reason', 'beacon', 'beacon_by'];
    was jsonb := to_jsonb(OLD);
    is_now jsonb := to_jsonb(NEW);
    step text;
BEGIN
    IF OLD.status IN ('draft', 'in_review') THEN
        IF TG_OP = 'DELETE' THEN
            RETURN OLD;
        ELSIF NEW.second_of IS DISTINCT FROM OLD.second_of THEN
            RAISE EXCEPTION 'lottery %: whose second draw it is stands', OLD.id USING ERRCODE = 'check_violation';
        ELSIF NEW.status IN ('draft', 'in_review', 'discarded') OR (OLD.status = 'in_review' AND NEW.status = 'published') THEN
            RETURN NEW;
        END IF;
    ELSIF TG_OP = 'UPDATE' AND is_now - course = was - course
        AND (NEW.status = OLD.status OR (OLD.status, NEW.status) IN (('published', 'closed'), ('published', 'cancelled'), ('closed', 'drawn')))
        AND (OLD.status <> 'cancelled' OR NEW.cancel_reason = OLD.cancel_reason)
        AND (OLD.beacon_confirmed_by IS NULL OR (NEW.beacon, NEW.beacon_by) = (OLD.beacon, OLD.beacon_by)) THEN
        FOREACH step IN ARRAY steps LOOP
            IF was -> step <> 'null' AND is_now -> step <> was -> step THEN
                RAISE EXCEPTION 'lottery %: % stands', OLD.id, step USING ERRCODE = 'check_violation';
            END IF;
        END LOOP;
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'lottery % is published and cannot be changed', OLD.id USING ERRCODE = 'check_violation';
END $$;
CREATE TRIGGER lottery_fixed BEFORE UPDATE OR DELETE ON lottery FOR EACH ROW EXECUTE FUNCTION lottery_fixed();

-- Entries come and grow while a lottery is published, and stand from its closing on. Whoever closes locks the lottery FOR UPDATE and
-- so waits for those who are entering; who comes after sees it closed.
CREATE FUNCTION lottery_entry_open() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM FROM lottery l WHERE l.id = coalesce(NEW.lottery_id, OLD.lottery_id) AND l.status = 'published' FOR KEY SHARE;
    IF NOT FOUND OR TG_OP = 'DELETE' OR (TG_OP = 'UPDATE' AND ((NEW.id, NEW.lottery_id, NEW.resident_id, NEW.code)
        IS DISTINCT FROM (OLD.id, OLD.lottery_id, OLD.resident_id, OLD.code) OR NEW.tickets < OLD.tickets)) THEN
        RAISE EXCEPTION 'the entries of lottery % stand', coalesce(NEW.lottery_id, OLD.lottery_id) USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER lottery_entry_open BEFORE INSERT OR UPDATE OR DELETE ON lottery_entry
    FOR EACH ROW EXECUTE FUNCTION lottery_entry_open();
CREATE TRIGGER lottery_entry_no_truncate BEFORE TRUNCATE ON lottery_entry
    FOR EACH STATEMENT EXECUTE FUNCTION house_append_only();

-- Winners are written between closing and draw, once, and never change.
CREATE FUNCTION lottery_winner_once() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_OP <> 'INSERT' OR NOT EXISTS (SELECT FROM lottery l WHERE l.id = NEW.lottery_id AND l.status = 'closed') THEN
        RAISE EXCEPTION 'the result of lottery % stands', coalesce(NEW.lottery_id, OLD.lottery_id) USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER lottery_winner_once BEFORE INSERT OR UPDATE OR DELETE ON lottery_winner
    FOR EACH ROW EXECUTE FUNCTION lottery_winner_once();
CREATE TRIGGER lottery_winner_no_truncate BEFORE TRUNCATE ON lottery_winner
    FOR EACH STATEMENT EXECUTE FUNCTION house_append_only();
