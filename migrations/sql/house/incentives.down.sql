DROP TRIGGER fact_fixed ON fact;
DROP TRIGGER budget_request_fixed ON budget_request;
DROP TRIGGER budget_fixed ON budget;
DROP TRIGGER coupon_template_fixed ON coupon_template;
DROP TRIGGER campaign_fixed ON campaign;
DROP FUNCTION incentive_fact_fixed();
DROP FUNCTION incentive_request_fixed();
DROP FUNCTION incentive_budget_fixed();
DROP FUNCTION incentive_rule_fixed();

DROP INDEX award_due;
ALTER TABLE award
    DROP CONSTRAINT award_status_known,
    DROP CONSTRAINT award_settled_when,
    DROP CONSTRAINT award_refused_why;

DROP INDEX budget_request_open;
ALTER TABLE budget_request
    DROP CONSTRAINT budget_request_kind_known,
    DROP CONSTRAINT budget_request_amount,
    DROP CONSTRAINT budget_request_document,
    DROP CONSTRAINT budget_request_status_known,
    DROP CONSTRAINT budget_request_two_people,
    DROP CONSTRAINT budget_request_approved_when,
    DROP CONSTRAINT budget_request_settled_when;

ALTER TABLE budget
    DROP CONSTRAINT budget_unit_known,
    DROP CONSTRAINT budget_one_owner,
    DROP CONSTRAINT budget_unit_of_owner,
    DROP CONSTRAINT budget_planned;

ALTER TABLE coupon_template
    DROP CONSTRAINT coupon_template_status_known,
    DROP CONSTRAINT coupon_template_pending_known,
    DROP CONSTRAINT coupon_template_activating,
    DROP CONSTRAINT coupon_template_two_people,
    DROP CONSTRAINT coupon_template_filled,
    DROP CONSTRAINT coupon_template_window,
    DROP CONSTRAINT coupon_template_version,
    DROP CONSTRAINT coupon_template_per_person,
    DROP CONSTRAINT coupon_template_per_person_period,
    DROP CONSTRAINT coupon_template_amounts,
    DROP CONSTRAINT coupon_template_shares,
    DROP CONSTRAINT coupon_template_kind,
    DROP CONSTRAINT coupon_template_validity,
    DROP CONSTRAINT coupon_template_void_window,
    DROP CONSTRAINT coupon_template_grace,
    DROP CONSTRAINT coupon_template_merchants,
    DROP CONSTRAINT coupon_template_ended_when;

DROP INDEX campaign_span_open_once;
ALTER TABLE campaign_span
    DROP CONSTRAINT campaign_span_forward;

ALTER TABLE campaign
    DROP CONSTRAINT campaign_status_known,
    DROP CONSTRAINT campaign_pending_known,
    DROP CONSTRAINT campaign_activating,
    DROP CONSTRAINT campaign_two_people,
    DROP CONSTRAINT campaign_filled,
    DROP CONSTRAINT campaign_window,
    DROP CONSTRAINT campaign_points,
    DROP CONSTRAINT campaign_validity,
    DROP CONSTRAINT campaign_per_person,
    DROP CONSTRAINT campaign_per_person_period,
    DROP CONSTRAINT campaign_ended_when;

ALTER TABLE fact
    DROP CONSTRAINT fact_named,
    DROP CONSTRAINT fact_attributes_object;
