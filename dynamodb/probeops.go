package dynamodb

import (
	"context"
	"errors"

	"holdfast"
	"holdfast/table"
)

// Operations of DynamoDB features that Holdfast doesn't have, for tools that query everything
// (Terraform, the AWS CDK, NoSQL Workbench, administration UIs): the response is that there is
// none, or that the feature is disabled. Operations that would change such a feature are unknown
// operations here.

var (
	shapeDescribeContributorInsights = structure("DescribeContributorInsightsInput", tableMember(),
		field("IndexName", named()))
	shapeListContributorInsights = structure("ListContributorInsightsInput",
		field("TableName", namedOrARN()),
		field("MaxResults", integer(0, 100)),
	)
	shapeDescribeKinesis     = structure("DescribeKinesisStreamingDestinationInput", tableMember())
	shapeDescribeAutoScaling = structure("DescribeTableReplicaAutoScalingInput", tableMember())
	shapeGetResourcePolicy   = structure("GetResourcePolicyInput", need("ResourceArn", sized(1, 1283)))
	shapeListGlobalTables    = structure("ListGlobalTablesInput",
		field("ExclusiveStartGlobalTableName", named()),
		field("Limit", integer(1, unlimited)),
	)
	shapeDescribeGlobalTable = structure("DescribeGlobalTableInput", need("GlobalTableName", named()))
	shapeListImports         = structure("ListImportsInput", field("TableArn", onlyARN()),
		field("PageSize", integer(1, 25)))
	shapeListExports    = structure("ListExportsInput", field("TableArn", onlyARN()), field("MaxResults", integer(1, 25)))
	shapeDescribeImport = structure("DescribeImportInput", need("ImportArn", sized(37, maxARNLength)))
	shapeDescribeExport = structure("DescribeExportInput", need("ExportArn", sized(37, maxARNLength)))
)

// probeOps are the read operations of features that Holdfast doesn't have.
type probeOps struct {
	tables  *table.Store
	account account
}

func (o *probeOps) operations() []operation {
	return []operation{
		{"DescribeContributorInsights", shapeDescribeContributorInsights, o.describeContributorInsights},
		{"ListContributorInsights", shapeListContributorInsights, empty("ContributorInsightsSummaries")},
		{"DescribeKinesisStreamingDestination", shapeDescribeKinesis, o.describeKinesis},
		{"DescribeTableReplicaAutoScaling", shapeDescribeAutoScaling, o.describeAutoScaling},
		{"GetResourcePolicy", shapeGetResourcePolicy, o.getResourcePolicy},
		{"ListGlobalTables", shapeListGlobalTables, empty("GlobalTables")},
		{"DescribeGlobalTable", shapeDescribeGlobalTable, noGlobalTable},
		{"DescribeGlobalTableSettings", shapeDescribeGlobalTable, noGlobalTable},
		{"ListImports", shapeListImports, empty("ImportSummaryList")},
		{"ListExports", shapeListExports, empty("ExportSummaries")},
		{"DescribeImport", shapeDescribeImport, none("ImportNotFoundException", "Import", "ImportArn")},
		{"DescribeExport", shapeDescribeExport, none("ExportNotFoundException", "Export", "ExportArn")},
	}
}

// empty returns an operation whose response is an empty list of that name.
func empty(name string) func(context.Context, node, *writer) error {
	return func(_ context.Context, _ node, w *writer) error {
		w.beginObject()
		w.name(name)
		w.strings(nil)
		w.endObject()
		return nil
	}
}

// none returns an operation whose error is that nothing of that kind has the ARN in the request's
// member.
func none(name, kind, member string) func(context.Context, node, *writer) error {
	return func(_ context.Context, req node, _ *writer) error {
		return exception(name, "%s not found: %s", kind, req.get(member).text())
	}
}

func noGlobalTable(_ context.Context, req node, _ *writer) error {
	return exception("GlobalTableNotFoundException", "Global table not found: Global table with name: %s does not exist",
		req.get("GlobalTableName").text())
}

func (o *probeOps) describeContributorInsights(_ context.Context, req node, w *writer) error {
	d, err := o.tables.Describe(tableName(req))
	if err != nil {
		return err
	}
	index := req.get("IndexName").text()
	if index != "" && !d.HasIndex(index) {
		return exception("ResourceNotFoundException", "Requested resource not found: Table: %s, Index: %s not found",
			d.Name, index)
	}
	w.beginObject()
	w.strField("TableName", d.Name)
	if index != "" {
		w.strField("IndexName", index)
	}
	w.strField("ContributorInsightsStatus", "DISABLED")
	w.endObject()
	return nil
}

func (o *probeOps) describeKinesis(_ context.Context, req node, w *writer) error {
	d, err := o.tables.Describe(tableName(req))
	if err != nil {
		return err
	}
	w.beginObject()
	w.strField("TableName", d.Name)
	w.name("KinesisDataStreamDestinations")
	w.strings(nil)
	w.endObject()
	return nil
}

func (o *probeOps) describeAutoScaling(_ context.Context, req node, w *writer) error {
	d, err := o.tables.Describe(tableName(req))
	if err != nil {
		return err
	}
	w.beginObject()
	w.name("TableAutoScalingDescription")
	w.beginObject()
	w.strField("TableName", d.Name)
	w.strField("TableStatus", statusName(d.Status))
	w.name("Replicas")
	w.strings(nil)
	w.endObject()
	w.endObject()
	return nil
}

// getResourcePolicy returns the error that a table or stream has no policy.
func (o *probeOps) getResourcePolicy(_ context.Context, req node, _ *writer) error {
	arn := req.get("ResourceArn").text()
	if _, _, ok := o.account.part(arn, "stream"); ok {
		if _, err := streamOf(o.tables, o.account, arn); err != nil {
			return err
		}
	} else {
		name, foreign := o.account.ownTable(arn)
		switch {
		case name == "":
			return invalid("Invalid ResourceArn: Invalid ResourceArn provided as input %s", arn)
		case foreign:
			return o.account.denied("GetResourcePolicy", arn)
		}
		if _, err := o.tables.Describe(name); errors.Is(err, holdfast.NotFound) {
			return exception("ResourceNotFoundException", "Requested resource not found: ResourceArn: %s not found", arn)
		} else if err != nil {
			return err
		}
	}
	return exception("PolicyNotFoundException", "Resource-based policy not found for the provided ResourceArn: %s", arn)
}
