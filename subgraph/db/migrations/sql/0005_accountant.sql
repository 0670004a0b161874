CREATE FUNCTION dp_instant(p_at timestamptz) RETURNS text LANGUAGE sql STABLE
    RETURN to_char(p_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');
CREATE FUNCTION dp_window(
    p_kind text, p_at timestamptz, OUT window_start timestamptz, OUT window_end timestamptz
) LANGUAGE sql IMMUTABLE AS $$
    SELECT opens AT TIME ZONE 'UTC', (opens + length) AT TIME ZONE 'UTC'
      FROM (SELECT date_trunc(p_kind, p_at AT TIME ZONE 'UTC') AS opens,
                   CASE p_kind WHEN 'DAY' THEN interval '1 day' WHEN 'WEEK' THEN interval '7 days'
                               WHEN 'MONTH' THEN interval '1 month'
                               WHEN 'QUARTER' THEN interval '3 months' END AS length) AS kind
$$;
CREATE FUNCTION dp_genesis(p_tenant text, p_window_start timestamptz) RETURNS bytea
    LANGUAGE sql STABLE
    RETURN sha256('ig-dp-spend-chain-v1'::bytea || '\x00'::bytea || convert_to(
        '{"tenant":"' || p_tenant || '","windowStart":"' || dp_instant(p_window_start) || '"}',
        'UTF8'));
CREATE FUNCTION dp_is_low(p_row dp_budget) RETURNS boolean LANGUAGE sql IMMUTABLE
    RETURN (p_row.epsilon_limit + p_row.epsilon_granted - p_row.epsilon_spent
            - p_row.epsilon_reserved) * 10 < p_row.epsilon_limit + p_row.epsilon_granted;
CREATE FUNCTION dp_open_window(p_tenant text, p_at timestamptz, OUT opened dp_budget)
    LANGUAGE plpgsql AS $$
    -- The window of an instant, made if there is none. The caller holds the lifetime's row, so
    -- nobody else opens windows; they tile time, whatever the kinds of the policies.
    DECLARE
        governing dp_policy;
        bounds record;
        behind timestamptz;
    BEGIN
        SELECT * INTO opened FROM dp_budget b
         WHERE b.tenant_id = p_tenant AND b.window_start <= p_at AND b.window_start > '-infinity'
         ORDER BY b.window_start DESC LIMIT 1;
        IF opened.window_end > p_at THEN
            RETURN;
        END IF;
        behind := coalesce(opened.window_end, '-infinity');
        SELECT * INTO STRICT governing FROM dp_policy p
         WHERE p.tenant_id = p_tenant AND p.effective_from <= p_at
         ORDER BY p.version DESC LIMIT 1;
        bounds := dp_window(governing.window_kind, p_at);
        INSERT INTO dp_budget (tenant_id, window_start, window_end, policy_version,
                               epsilon_limit, head)
        VALUES (p_tenant, greatest(bounds.window_start, behind), bounds.window_end,
                governing.version, governing.epsilon_limit,
                dp_genesis(p_tenant, greatest(bounds.window_start, behind)))
        RETURNING * INTO opened;
    END
$$;
CREATE FUNCTION dp_hold(
    p_tenant text, OUT lifetime dp_budget, OUT governing dp_policy, OUT held_at timestamptz
) LANGUAGE plpgsql AS $$
    -- Lock the lifetime's row, as everybody does first who changes a budget, then read the clock:
    -- the instants of a chain never go back behind an end of a window.
    BEGIN
        SELECT * INTO lifetime FROM dp_budget b
         WHERE b.tenant_id = p_tenant AND b.window_start = '-infinity' FOR UPDATE;
        held_at := clock_timestamp();
        IF lifetime.tenant_id IS NULL THEN
            RETURN;
        END IF;
        SELECT * INTO STRICT governing FROM dp_policy p
         WHERE p.tenant_id = p_tenant AND p.effective_from <= held_at
         ORDER BY p.version DESC LIMIT 1;
        -- A lower cap of a policy that is still to come is in force at once.
        SELECT min(p.max_epsilon_per_operation) INTO governing.max_epsilon_per_operation
          FROM dp_policy p WHERE p.tenant_id = p_tenant AND p.version >= governing.version;
        IF lifetime.policy_version IS DISTINCT FROM governing.version THEN
            UPDATE dp_budget b
               SET epsilon_limit = governing.lifetime_limit, policy_version = governing.version
             WHERE b.tenant_id = p_tenant AND b.window_start = '-infinity'
            RETURNING * INTO lifetime;
        END IF;
    END
$$;
CREATE FUNCTION dp_reserve(
    p_tenant text, p_reservation uuid, p_key text, p_digest bytea, p_holder uuid,
    p_lease interval, p_ticket uuid, p_ticket_epoch integer, p_may_be_low boolean,
    p_spends uuid[], p_datasets uuid[], p_release_keys bytea[], p_epsilons numeric[],
    p_charges text[],
    OUT outcome text, OUT reservation_id uuid, OUT window_start timestamptz,
    OUT window_end timestamptz, OUT first_seq bigint, OUT spends integer, OUT head bytea,
    OUT reserved_at timestamptz, OUT lease_until timestamptz, OUT epoch integer,
    OUT required numeric, OUT remaining numeric, OUT resets_at timestamptz
) LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
    -- Planned once a connection; for the arrays it would be planned anew at every call.
    #variable_conflict use_column
    DECLARE
        hold record;
        lifetime dp_budget;
        opened dp_budget;
        standing dp_reservation;
        in_lifetime numeric;
        in_window numeric;
        promise numeric := 0;
        busy_until timestamptz;
        entries text[];
        hashes bytea[];
        charged bigint;
    BEGIN
        SELECT sum(e) INTO required FROM unnest(p_epsilons) AS e;
        spends := cardinality(p_epsilons);
        SELECT * INTO hold FROM dp_hold(p_tenant);
        lifetime := hold.lifetime;
        IF lifetime.tenant_id IS NULL THEN
            outcome := 'NOT_SET';
            RETURN;
        END IF;
        SELECT * INTO standing FROM dp_reservation r
         WHERE r.tenant_id = p_tenant AND r.idempotency_key = p_key FOR UPDATE;
        IF FOUND THEN
            IF standing.request_digest <> p_digest THEN
                outcome := 'CONFLICT';
                RETURN;
            END IF;
            IF standing.holder <> p_holder AND standing.lease_until <= hold.held_at AND EXISTS (
                SELECT FROM dp_spend s WHERE s.tenant_id = p_tenant AND s.state = 'RESERVED'
                   AND s.window_start = standing.window_start
                   AND s.seq BETWEEN standing.first_seq
                                 AND standing.first_seq + standing.spends - 1)
            THEN
                UPDATE dp_reservation r
                   SET holder = p_holder, epoch = r.epoch + 1,
                       lease_until = hold.held_at + p_lease
                 WHERE r.tenant_id = p_tenant AND r.reservation_id = standing.reservation_id
                RETURNING * INTO standing;
            END IF;
            outcome := CASE WHEN standing.holder = p_holder THEN 'HELD' ELSE 'REPEATED' END;
            reservation_id := standing.reservation_id;
            window_start := standing.window_start;
            first_seq := standing.first_seq;
            spends := standing.spends;
            head := standing.head;
            reserved_at := standing.reserved_at;
            lease_until := standing.lease_until;
            epoch := standing.epoch;
            required := standing.epsilon;
            SELECT b.window_end INTO window_end FROM dp_budget b
             WHERE b.tenant_id = p_tenant AND b.window_start = standing.window_start;
            RETURN;
        END IF;
        opened := dp_open_window(p_tenant, hold.held_at);
        window_start := opened.window_start;
        window_end := opened.window_end;
        resets_at := opened.window_end;
        IF required > (hold.governing).max_epsilon_per_operation THEN
            outcome := 'OVER_OPERATION';
            remaining := (hold.governing).max_epsilon_per_operation;
            RETURN;
        END IF;
        -- What is being answered is waited for, unless whoever does it is gone.
        SELECT max(r.lease_until) INTO busy_until
          FROM dp_spend s JOIN dp_reservation r USING (tenant_id, reservation_id)
         WHERE s.tenant_id = p_tenant AND s.release_key = ANY (p_release_keys)
           AND s.state = 'RESERVED';
        IF busy_until > hold.held_at THEN
            outcome := 'PENDING';
            resets_at := busy_until;
            RETURN;
        ELSIF busy_until IS NOT NULL THEN
            PERFORM dp_forfeit(p_tenant, ARRAY(
                SELECT s.reservation_id FROM dp_spend s
                 WHERE s.tenant_id = p_tenant AND s.release_key = ANY (p_release_keys)
                   AND s.state = 'RESERVED'));
        END IF;
        IF EXISTS (SELECT FROM dp_release r WHERE r.tenant_id = p_tenant
                      AND r.release_key = ANY (p_release_keys))
        THEN
            outcome := 'RELEASED';
            RETURN;
        END IF;
        IF p_ticket IS NOT NULL THEN
            SELECT t.promised INTO promise FROM dp_ticket t
             WHERE t.tenant_id = p_tenant AND t.ticket_id = p_ticket AND t.state = 'RUNNING'
               AND t.epoch = p_ticket_epoch AND t.not_before = opened.window_start FOR UPDATE;
            IF NOT FOUND THEN
                outcome := 'TICKET_LOST';
                RETURN;
            END IF;
        END IF;
        in_window := opened.epsilon_limit + opened.epsilon_granted - opened.epsilon_spent
            - opened.epsilon_reserved + promise;
        in_lifetime := lifetime.epsilon_limit + lifetime.epsilon_granted
            - lifetime.epsilon_spent - lifetime.epsilon_reserved + promise;
        remaining := greatest(least(in_window, in_lifetime), 0);
        -- Not `required > remaining`, which NULL and NaN would slip through.
        IF required <= in_window AND (lifetime.epsilon_limit IS NULL OR required <= in_lifetime)
        THEN
            outcome := 'HELD';
        ELSE
            outcome := 'EXHAUSTED';
            resets_at := CASE WHEN required > in_lifetime THEN NULL ELSE opened.window_end END;
            RETURN;
        END IF;
        opened.epsilon_spent := opened.epsilon_spent + required;
        lifetime.epsilon_spent := lifetime.epsilon_spent + required;
        opened.epsilon_reserved := opened.epsilon_reserved - promise;
        lifetime.epsilon_reserved := lifetime.epsilon_reserved - promise;
        IF NOT p_may_be_low AND (
            (opened.alerted_at IS NULL AND dp_is_low(opened))
            OR (lifetime.alerted_at IS NULL AND dp_is_low(lifetime)))
        THEN
            outcome := 'LOW';
            RETURN;
        END IF;
        reservation_id := p_reservation;
        first_seq := opened.seq + 1;
        reserved_at := hold.held_at;
        lease_until := hold.held_at + p_lease;
        epoch := 1;
        head := opened.head;
        FOR i IN 1 .. spends LOOP
            entries[i] := '{"charge":' || p_charges[i] || ',"schemaVersion":' || '1'
                || ',"spend":{"at":"' || dp_instant(hold.held_at)
                || '","datasetId":"' || p_datasets[i]
                || '","epsilon":"' || p_epsilons[i]::numeric(18, 9)
                || '","policyVersion":' || (hold.governing).version
                || ',"releaseKey":"sha256:' || encode(p_release_keys[i], 'hex')
                || '","reservationId":"' || p_reservation
                || '","sequence":' || opened.seq + i
                || ',"spendId":"' || p_spends[i]
                || '","tenant":"' || p_tenant
                || '","windowEnd":"' || dp_instant(opened.window_end)
                || '","windowStart":"' || dp_instant(opened.window_start) || '"}}';
            head := sha256('ig-dp-spend-chain-v1'::bytea || '\x01'::bytea || head
                || convert_to(entries[i], 'UTF8'));
            hashes[i] := head;
        END LOOP;
        INSERT INTO dp_reservation (
            tenant_id, reservation_id, idempotency_key, request_digest, window_start, first_seq,
            spends, epsilon, head, reserved_at, holder, epoch, lease_until)
        VALUES (p_tenant, p_reservation, p_key, p_digest, opened.window_start, opened.seq + 1,
                spends, required, head, hold.held_at, p_holder, 1, hold.held_at + p_lease);
        INSERT INTO dp_spend (
            tenant_id, window_start, seq, spend_id, reservation_id, dataset_id, release_key,
            epsilon, entry, chain_hash)
        SELECT p_tenant, opened.window_start, opened.seq + i, p_spends[i], p_reservation,
               p_datasets[i], p_release_keys[i], p_epsilons[i], entries[i], hashes[i]
          FROM generate_series(1, spends) AS i;
        IF promise > 0 THEN
            UPDATE dp_ticket t SET promised = 0
             WHERE t.tenant_id = p_tenant AND t.ticket_id = p_ticket;
        END IF;
        UPDATE dp_budget b
           SET epsilon_spent = b.epsilon_spent + required,
               epsilon_reserved = b.epsilon_reserved - promise,
               seq = b.seq + dp_reserve.spends,
               head = CASE WHEN b.window_start > '-infinity' THEN dp_reserve.head END
         WHERE b.tenant_id = p_tenant AND b.window_start IN ('-infinity', opened.window_start)
           AND (b.epsilon_limit IS NULL OR b.epsilon_spent + b.epsilon_reserved - promise
                + required <= b.epsilon_limit + b.epsilon_granted);
        GET DIAGNOSTICS charged = ROW_COUNT;
        IF charged <> 2 THEN
            RAISE EXCEPTION 'a reservation charges its window and the lifetime'
                USING ERRCODE = 'restrict_violation';
        END IF;
    END
$$;
CREATE FUNCTION dp_forfeit(p_tenant text, p_reservations uuid[]) RETURNS bigint
    LANGUAGE plpgsql AS $$
    -- Give up what is not committed of reservations. Whoever commits locks the reservation first.
    DECLARE
        forfeited bigint;
    BEGIN
        PERFORM FROM dp_reservation r
          WHERE r.tenant_id = p_tenant AND r.reservation_id = ANY (p_reservations)
          ORDER BY r.reservation_id FOR UPDATE;
        UPDATE dp_spend s SET state = 'FORFEITED', settled_at = clock_timestamp()
         WHERE s.tenant_id = p_tenant AND s.reservation_id = ANY (p_reservations)
           AND s.state = 'RESERVED';
        GET DIAGNOSTICS forfeited = ROW_COUNT;
        RETURN forfeited;
    END
$$;
CREATE FUNCTION dp_promise(
    p_tenant text, p_ticket uuid, p_key text, p_digest bytea, p_operation text,
    p_variables text, p_actor text, p_epsilon numeric, p_deadline timestamptz,
    OUT outcome text, OUT ticket_id uuid, OUT required numeric, OUT remaining numeric,
    OUT resets_at timestamptz
) LANGUAGE plpgsql AS $$
    #variable_conflict use_column
    DECLARE
        hold record;
        lifetime dp_budget;
        upcoming dp_budget;
        standing dp_ticket;
        in_lifetime numeric;
        in_window numeric;
    BEGIN
        required := p_epsilon;
        SELECT * INTO hold FROM dp_hold(p_tenant);
        lifetime := hold.lifetime;
        IF lifetime.tenant_id IS NULL THEN
            outcome := 'NOT_SET';
            RETURN;
        END IF;
        SELECT * INTO standing FROM dp_ticket t
         WHERE t.tenant_id = p_tenant AND t.idempotency_key = p_key;
        IF FOUND THEN
            outcome := CASE WHEN standing.request_digest = p_digest
                THEN 'REPEATED' ELSE 'CONFLICT' END;
            ticket_id := standing.ticket_id;
            RETURN;
        END IF;
        IF p_epsilon > (hold.governing).max_epsilon_per_operation THEN
            outcome := 'OVER_OPERATION';
            remaining := (hold.governing).max_epsilon_per_operation;
            RETURN;
        END IF;
        upcoming := dp_open_window(p_tenant, (dp_open_window(p_tenant, hold.held_at)).window_end);
        resets_at := upcoming.window_start;
        IF p_deadline <= upcoming.window_start THEN
            outcome := 'TOO_LATE';
            RETURN;
        END IF;
        in_window := upcoming.epsilon_limit + upcoming.epsilon_granted
            - upcoming.epsilon_spent - upcoming.epsilon_reserved;
        in_lifetime := lifetime.epsilon_limit + lifetime.epsilon_granted
            - lifetime.epsilon_spent - lifetime.epsilon_reserved;
        remaining := greatest(least(in_window, in_lifetime), 0);
        IF p_epsilon <= in_window AND (lifetime.epsilon_limit IS NULL OR p_epsilon <= in_lifetime)
        THEN
            outcome := 'PROMISED';
        ELSE
            outcome := 'EXHAUSTED';
            resets_at := CASE WHEN p_epsilon > in_lifetime THEN NULL ELSE upcoming.window_end END;
            RETURN;
        END IF;
        INSERT INTO dp_ticket (
            tenant_id, ticket_id, idempotency_key, request_digest, operation, variables, actor,
            epsilon, promised, not_before, deadline, expires_at, created_at)
        VALUES (p_tenant, p_ticket, p_key, p_digest, p_operation, p_variables, p_actor,
                p_epsilon, p_epsilon, upcoming.window_start, p_deadline,
                least(p_deadline, upcoming.window_end), hold.held_at);
        ticket_id := p_ticket;
        UPDATE dp_budget b SET epsilon_reserved = b.epsilon_reserved + p_epsilon
         WHERE b.tenant_id = p_tenant AND b.window_start IN ('-infinity', upcoming.window_start);
    END
$$;
CREATE FUNCTION dp_settle_ticket(
    p_tenant text, p_ticket uuid, p_from text[], p_epoch integer, p_to text, p_failure text,
    p_result text, OUT released numeric
) LANGUAGE plpgsql AS $$
    -- End a ticket that is in one of the states, at that epoch if one is named, and take back
    -- what is left of its promise: nothing was read for it. NULL when it is not in such a state.
    DECLARE
        opened_at timestamptz;
    BEGIN
        PERFORM dp_hold(p_tenant);
        SELECT t.promised, t.not_before INTO released, opened_at FROM dp_ticket t
         WHERE t.tenant_id = p_tenant AND t.ticket_id = p_ticket AND t.state = ANY (p_from)
           AND t.epoch = coalesce(p_epoch, t.epoch) FOR UPDATE;
        IF NOT FOUND THEN
            RETURN;
        END IF;
        UPDATE dp_ticket t
           SET state = p_to, failure = p_failure, result = p_result, promised = 0,
               settled_at = clock_timestamp()
         WHERE t.tenant_id = p_tenant AND t.ticket_id = p_ticket;
        UPDATE dp_budget b SET epsilon_reserved = b.epsilon_reserved - released
         WHERE b.tenant_id = p_tenant AND b.window_start IN ('-infinity', opened_at)
           AND released > 0;
    END
$$;
CREATE FUNCTION dp_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION '% of % is not allowed: %', TG_OP, TG_TABLE_NAME, TG_NAME
            USING ERRCODE = 'restrict_violation';
    END
$$;
CREATE TRIGGER never_less BEFORE UPDATE ON dp_budget FOR EACH ROW
    WHEN (NEW.epsilon_spent < OLD.epsilon_spent OR NEW.epsilon_granted < OLD.epsilon_granted
        OR NEW.seq < OLD.seq OR NEW.anchored_seq < OLD.anchored_seq
        OR (NEW.seq = OLD.seq) <> (NEW.epsilon_spent = OLD.epsilon_spent)
        OR (NEW.seq = OLD.seq AND NEW.head IS DISTINCT FROM OLD.head)
        OR (OLD.alerted_at IS NOT NULL AND NEW.alerted_at IS DISTINCT FROM OLD.alerted_at)
        OR (NEW.tenant_id, NEW.window_start, NEW.window_end)
            IS DISTINCT FROM (OLD.tenant_id, OLD.window_start, OLD.window_end))
    EXECUTE FUNCTION dp_refuse();
CREATE TRIGGER settled_once BEFORE UPDATE ON dp_spend FOR EACH ROW
    WHEN (OLD.state <> 'RESERVED' OR NEW.state = 'RESERVED'
        OR (NEW.tenant_id, NEW.window_start, NEW.seq, NEW.spend_id, NEW.reservation_id,
            NEW.dataset_id, NEW.release_key, NEW.epsilon, NEW.entry, NEW.chain_hash)
            IS DISTINCT FROM (OLD.tenant_id, OLD.window_start, OLD.seq, OLD.spend_id,
                OLD.reservation_id, OLD.dataset_id, OLD.release_key, OLD.epsilon, OLD.entry,
                OLD.chain_hash))
    EXECUTE FUNCTION dp_refuse();
CREATE TRIGGER fenced BEFORE UPDATE ON dp_reservation FOR EACH ROW
    WHEN (NEW.epoch < OLD.epoch OR (NEW.holder <> OLD.holder AND NEW.epoch = OLD.epoch)
        OR (NEW.tenant_id, NEW.reservation_id, NEW.idempotency_key, NEW.request_digest,
            NEW.window_start, NEW.first_seq, NEW.spends, NEW.epsilon, NEW.reserved_at)
            IS DISTINCT FROM (OLD.tenant_id, OLD.reservation_id, OLD.idempotency_key,
                OLD.request_digest, OLD.window_start, OLD.first_seq, OLD.spends, OLD.epsilon,
                OLD.reserved_at))
    EXECUTE FUNCTION dp_refuse();
CREATE TRIGGER settled_once BEFORE UPDATE ON dp_ticket FOR EACH ROW
    WHEN (OLD.settled_at IS NOT NULL OR NEW.epoch < OLD.epoch)
    EXECUTE FUNCTION dp_refuse();
