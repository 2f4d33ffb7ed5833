DROP TRIGGER fact_fixed ON fact;
DROP TRIGGER budget_request_fixed ON budget_request;
DROP TRIGGER budget_fixed ON budget;
DROP TRIGGER coupon_template_life ON coupon_template;
DROP TRIGGER campaign_life ON campaign;
DROP TRIGGER coupon_template_version_course ON coupon_template_version;
DROP TRIGGER campaign_version_course ON campaign_version;

DROP TRIGGER award_gives_back ON award;
DROP INDEX award_due;
DROP INDEX award_withheld;
DROP INDEX budget_request_open;
DROP INDEX campaign_span_open_once;
DROP INDEX coupon_template_version_live_once;
DROP INDEX coupon_template_version_open_once;
DROP INDEX campaign_version_live_once;
DROP INDEX campaign_version_open_once;

ALTER TABLE campaign DROP CONSTRAINT campaign_live_version;
ALTER TABLE coupon_template DROP CONSTRAINT coupon_template_live_version;
ALTER TABLE campaign_span DROP CONSTRAINT campaign_span_of_campaign;
ALTER TABLE award DROP CONSTRAINT award_of_campaign;
ALTER TABLE free_minutes
    DROP CONSTRAINT free_minutes_amount,
    DROP CONSTRAINT free_minutes_scene;
ALTER TABLE budget_alert
    DROP CONSTRAINT budget_alert_threshold,
    DROP CONSTRAINT budget_alert_acknowledged;
ALTER TABLE award
    DROP CONSTRAINT award_status_known,
    DROP CONSTRAINT award_held_out,
    DROP CONSTRAINT award_settled_when,
    DROP CONSTRAINT award_refused_why,
    DROP CONSTRAINT award_effect;
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
ALTER TABLE campaign_span
    DROP CONSTRAINT campaign_span_forward;
ALTER TABLE coupon_template_version
    DROP CONSTRAINT coupon_template_version_status_known,
    DROP CONSTRAINT coupon_template_version_two_people,
    DROP CONSTRAINT coupon_template_version_approved_when,
    DROP CONSTRAINT coupon_template_version_submitted_when,
    DROP CONSTRAINT coupon_template_version_live_when,
    DROP CONSTRAINT coupon_template_version_rejected_why,
    DROP CONSTRAINT coupon_template_version_number,
    DROP CONSTRAINT coupon_template_version_filled,
    DROP CONSTRAINT coupon_template_version_window,
    DROP CONSTRAINT coupon_template_version_amounts,
    DROP CONSTRAINT coupon_template_version_shares,
    DROP CONSTRAINT coupon_template_version_kind,
    DROP CONSTRAINT coupon_template_version_validity,
    DROP CONSTRAINT coupon_template_version_void_window,
    DROP CONSTRAINT coupon_template_version_grace,
    DROP CONSTRAINT coupon_template_version_pay,
    DROP CONSTRAINT coupon_template_version_places,
    DROP CONSTRAINT coupon_template_version_days,
    DROP CONSTRAINT coupon_template_version_windows,
    DROP CONSTRAINT coupon_template_version_orders,
    DROP CONSTRAINT coupon_template_version_goods,
    DROP CONSTRAINT coupon_template_version_limits,
    DROP CONSTRAINT coupon_template_version_of_template;
ALTER TABLE campaign_version
    DROP CONSTRAINT campaign_version_status_known,
    DROP CONSTRAINT campaign_version_two_people,
    DROP CONSTRAINT campaign_version_approved_when,
    DROP CONSTRAINT campaign_version_submitted_when,
    DROP CONSTRAINT campaign_version_live_when,
    DROP CONSTRAINT campaign_version_rejected_why,
    DROP CONSTRAINT campaign_version_number,
    DROP CONSTRAINT campaign_version_filled,
    DROP CONSTRAINT campaign_version_window,
    DROP CONSTRAINT campaign_version_validity,
    DROP CONSTRAINT campaign_version_hold_out,
    DROP CONSTRAINT campaign_version_rule,
    DROP CONSTRAINT campaign_version_limits,
    DROP CONSTRAINT campaign_version_of_campaign;
ALTER TABLE coupon_template
    DROP CONSTRAINT coupon_template_status_known,
    DROP CONSTRAINT coupon_template_pending_known,
    DROP CONSTRAINT coupon_template_live,
    DROP CONSTRAINT coupon_template_ended_when,
    DROP CONSTRAINT coupon_template_ended_why;
ALTER TABLE campaign
    DROP CONSTRAINT campaign_status_known,
    DROP CONSTRAINT campaign_pending_known,
    DROP CONSTRAINT campaign_live,
    DROP CONSTRAINT campaign_ended_when,
    DROP CONSTRAINT campaign_ended_why;
ALTER TABLE fact
    DROP CONSTRAINT fact_named,
    DROP CONSTRAINT fact_attributes_object;

ALTER TABLE date_call
    DROP CONSTRAINT date_call_version,
    DROP CONSTRAINT date_call_course;

DROP FUNCTION incentive_award_gives_back();
DROP TABLE award_take;
DROP TABLE award_counter;

DROP FUNCTION incentive_fact_fixed();
DROP TABLE fact_border;
DROP FUNCTION incentive_border_moves_on();
DROP FUNCTION incentive_request_fixed();
DROP FUNCTION incentive_budget_fixed();
DROP FUNCTION incentive_life();
DROP FUNCTION incentive_version_course();
DROP FUNCTION incentive_limits_ok(jsonb, text[]);
