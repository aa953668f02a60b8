-- Scores of ERP rows were the share of what is known of them, 0 to 1; they are 0 to 100 now, in four dimensions. A row
-- that stands broke no rule that was there before: it has 70 points, and its share of the 30 of completeness.
DO $$
DECLARE
    held text;
BEGIN
    FOREACH held IN ARRAY ARRAY[
        'energy_consumption', 'production_schedule', 'purchase_orders', 'maintenance_schedule', 'financial_transactions',
        'cost_allocation', 'cost_centers', 'assets', 'materials', 'workforce']
    LOOP
        EXECUTE format('UPDATE erp.%I SET quality_score = 70 + 30 * quality_score WHERE quality_score IS NOT NULL', held);
        EXECUTE format(
            'ALTER TABLE erp.%I ADD COLUMN quality_level text GENERATED ALWAYS AS (CASE'
            ' WHEN quality_score >= 95 THEN ''EXCELLENT'' WHEN quality_score >= 80 THEN ''GOOD'''
            ' WHEN quality_score >= 60 THEN ''FAIR'' WHEN quality_score >= 40 THEN ''POOR'''
            ' WHEN quality_score IS NOT NULL THEN ''INVALID'' END) STORED', held);
    END LOOP;
END
$$;
