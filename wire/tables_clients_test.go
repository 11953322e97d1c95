package wire

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	streamtypes "github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
)

//go:embed testdata/boto3.py
var boto3Script string

const debianPython = "/usr/bin/python3" // Debian's own, which finds Debian's packages

// TestBoto3 runs Debian's boto3 against Holdfast, with signatures checked; the script asserts.
func TestBoto3(t *testing.T) {
	if exec.Command(debianPython, "-c", "import boto3").Run() != nil {
		missing(t, "boto3")
	}
	server := startTables(t, t.TempDir(), "--config", keysConfig(t))
	cmd := exec.Command(debianPython, "-c", boto3Script, "http://"+server.addr)
	cmd.Env = awsEnvironment(t, "AKUSER", "secret/of/user")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd = exec.Command(debianPython, "-c", boto3Script, "http://"+server.addr)
	cmd.Env = awsEnvironment(t, "AKUSER", "another secret")
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "InvalidSignatureException") {
		t.Errorf("with another secret: got %v, %s; want InvalidSignatureException", err, out)
	}
}

// keysConfig is a configuration that requires signatures.
func keysConfig(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	keys, file := filepath.Join(dir, "keys"), filepath.Join(dir, "holdfast.yaml")
	for path, text := range map[string]string{
		keys: "# key:secret\nAKUSER:secret/of/user\n", file: fmt.Sprintf("tables: {keys_file: %q}\n", keys),
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return file
}

// awsEnvironment is the environment for clients of AWS, without this machine's own settings.
func awsEnvironment(t *testing.T, key, secret string) []string {
	t.Helper()
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(),
		"AWS_ACCESS_KEY_ID=" + key, "AWS_SECRET_ACCESS_KEY=" + secret,
		"AWS_DEFAULT_REGION=us-east-1", "AWS_MAX_ATTEMPTS=1", "AWS_PAGER="}
}

// TestAWSCommandLine runs the README's commands with Debian's aws.
func TestAWSCommandLine(t *testing.T) {
	const program = "/usr/bin/aws" // Debian's own
	if _, err := os.Stat(program); err != nil {
		missing(t, "Debian's awscli")
	}
	server := startTables(t, t.TempDir())
	environment := awsEnvironment(t, "anybody", "anything")
	run := func(args ...string) (string, error) {
		always := []string{"dynamodb", "--endpoint-url", "http://" + server.addr, "--output", "json"}
		cmd := exec.Command(program, append(always, args...)...)
		cmd.Env = environment
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	update := []string{"update-item", "--table-name", "users", "--key", `{"id":{"S":"42"}}`,
		"--update-expression", "SET visits = visits + :one", "--condition-expression", "visits < :max",
		"--expression-attribute-values", `{":one":{"N":"1"},":max":{"N":"2"}}`}
	for _, step := range []struct {
		args []string
		want string // in the output
		fail bool
	}{
		{[]string{"create-table", "--table-name", "users", "--billing-mode", "PAY_PER_REQUEST",
			"--attribute-definitions", "AttributeName=id,AttributeType=S", "AttributeName=email,AttributeType=S",
			"--key-schema", "AttributeName=id,KeyType=HASH",
			"--global-secondary-indexes",
			`IndexName=by-email,KeySchema=[{AttributeName=email,KeyType=HASH}],Projection={ProjectionType=ALL}`},
			`"TableName": "users"`, false},
		{[]string{"wait", "table-exists", "--table-name", "users"}, "", false},
		{[]string{"put-item", "--table-name", "users",
			"--item", `{"id":{"S":"42"},"email":{"S":"ann@example.org"},"visits":{"N":"1"}}`}, "", false},
		{[]string{"get-item", "--table-name", "users", "--key", `{"id":{"S":"42"}}`}, `"ann@example.org"`, false},
		{[]string{"query", "--table-name", "users", "--index-name", "by-email", "--key-condition-expression", "email = :e",
			"--expression-attribute-values", `{":e":{"S":"ann@example.org"}}`}, `"Count": 1`, false},
		{append(slices.Clone(update), "--return-values", "ALL_NEW"), `"N": "2"`, false},
		{update, "ConditionalCheckFailedException", true},
		{[]string{"scan", "--table-name", "users", "--max-items", "1"}, `"ScannedCount": 1`, false},
		{[]string{"execute-statement", "--statement", `SELECT visits FROM "users" WHERE id = '42'`}, `"N": "2"`, false},
		{[]string{"create-backup", "--table-name", "users", "--backup-name", "first"}, `"BackupStatus"`, false},
		{[]string{"delete-table", "--table-name", "users"}, `"DELETING"`, false},
		{[]string{"list-tables"}, `"TableNames": []`, false},
	} {
		out, err := run(step.args...)
		eventually(t, fmt.Sprintf("%v isn't refused for a backup in progress", step.args), func() bool {
			if !strings.Contains(out, "ResourceInUseException") {
				return true
			}
			out, err = run(step.args...)
			return false
		})
		if (err != nil) != step.fail || !strings.Contains(out, step.want) {
			t.Fatalf("%v\n got %v, %s\nwant %s", step.args, err, out, step.want)
		}
	}
}

// TestSDK runs the AWS SDK for Go against Holdfast. Its results are typed, so a response of a wrong
// form is an error.
func TestSDK(t *testing.T) {
	testSDK(t, startTables(t, t.TempDir()).addr)
}

// TestSDKOnACluster does the same at a node that doesn't lead, and so forwards what it can't serve.
func TestSDKOnACluster(t *testing.T) {
	addresses := freeAddresses(t, 3)
	startNodes(t, addresses, t.TempDir())
	for _, address := range addresses {
		if !leads(t, address) {
			testSDK(t, address)
			return
		}
	}
	t.Error("got three nodes that lead; want one")
}

func testSDK(t *testing.T, address string) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	secrets := credentials.NewStaticCredentialsProvider("key", "secret", "")
	endpoint := aws.String("http://" + address)
	db := dynamodb.New(dynamodb.Options{
		Region: "us-east-1", BaseEndpoint: endpoint, Credentials: secrets, RetryMaxAttempts: 1,
	})
	streams := dynamodbstreams.New(dynamodbstreams.Options{
		Region: "us-east-1", BaseEndpoint: endpoint, Credentials: secrets, RetryMaxAttempts: 1,
	})

	_, err := db.CreateTable(ctx, &dynamodb.CreateTableInput{
		TableName: aws.String("orders"), BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: aws.String("customer"), AttributeType: "S"},
			{AttributeName: aws.String("number"), AttributeType: "N"},
		},
		KeySchema: []types.KeySchemaElement{
			{AttributeName: aws.String("customer"), KeyType: "HASH"},
			{AttributeName: aws.String("number"), KeyType: "RANGE"},
		},
		StreamSpecification: &types.StreamSpecification{StreamEnabled: aws.Bool(true), StreamViewType: "NEW_AND_OLD_IMAGES"},
	})
	if err != nil {
		t.Fatal(err)
	}
	created := &dynamodb.DescribeTableInput{TableName: aws.String("orders")}
	if err := dynamodb.NewTableExistsWaiter(db).Wait(ctx, created, patience); err != nil {
		t.Fatal(err)
	}
	sdkItems(ctx, t, db)
	sdkTransactions(ctx, t, db)
	sdkStream(ctx, t, streams)
}

func order(n int) map[string]types.AttributeValue {
	line := map[string]types.AttributeValue{
		"what": &types.AttributeValueMemberS{Value: "réglisse ☃"},
		"gone": &types.AttributeValueMemberBOOL{Value: true},
	}
	return map[string]types.AttributeValue{
		"customer": &types.AttributeValueMemberS{Value: "ann"},
		"number":   &types.AttributeValueMemberN{Value: fmt.Sprint(n)},
		"lines": &types.AttributeValueMemberL{
			Value: []types.AttributeValue{&types.AttributeValueMemberM{Value: line}},
		},
		"blob": &types.AttributeValueMemberB{Value: []byte{0, 1, 255}},
		"tags": &types.AttributeValueMemberSS{Value: []string{"a", "b"}},
	}
}

func sdkItems(ctx context.Context, t *testing.T, db *dynamodb.Client) {
	t.Helper()
	for n := range 50 {
		if _, err := db.PutItem(ctx, &dynamodb.PutItemInput{TableName: aws.String("orders"), Item: order(n)}); err != nil {
			t.Fatal(err)
		}
	}
	pages, items := 0, 0
	query := dynamodb.NewQueryPaginator(db, &dynamodb.QueryInput{
		TableName: aws.String("orders"), Limit: aws.Int32(7),
		KeyConditionExpression:   aws.String("customer = :c AND #n BETWEEN :low AND :high"),
		ExpressionAttributeNames: map[string]string{"#n": "number"},
		ExpressionAttributeValues: map[string]types.AttributeValue{":c": &types.AttributeValueMemberS{Value: "ann"},
			":low": &types.AttributeValueMemberN{Value: "10"}, ":high": &types.AttributeValueMemberN{Value: "39.5"}},
	})
	for query.HasMorePages() {
		page, err := query.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		pages, items = pages+1, items+len(page.Items)
	}
	if items != 30 || pages < 5 {
		t.Errorf("query: got %d items in %d pages; want 30 in 5 or 6", items, pages)
	}
	got, err := db.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: aws.String("orders"), ConsistentRead: aws.Bool(true), ReturnConsumedCapacity: "TOTAL",
		Key: map[string]types.AttributeValue{"customer": order(3)["customer"], "number": order(3)["number"]}})
	if err != nil {
		t.Fatal(err)
	}
	gotText, _ := json.Marshal(got.Item)
	wantText, _ := json.Marshal(order(3))
	if string(gotText) != string(wantText) || *got.ConsumedCapacity.CapacityUnits != 1 {
		t.Errorf("got %s, %v units; want %s, 1", gotText, *got.ConsumedCapacity.CapacityUnits, wantText)
	}
}

func sdkTransactions(ctx context.Context, t *testing.T, db *dynamodb.Client) {
	t.Helper()
	_, err := db.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
		{Put: &types.Put{TableName: aws.String("orders"), Item: order(100)}},
		{Put: &types.Put{TableName: aws.String("orders"), Item: order(1),
			ConditionExpression:                 aws.String("attribute_not_exists(customer)"),
			ReturnValuesOnConditionCheckFailure: "ALL_OLD"}},
	}})
	var canceled *types.TransactionCanceledException
	if !errors.As(err, &canceled) || len(canceled.CancellationReasons) != 2 {
		t.Fatalf("got %v; want a canceled transaction with two reasons", err)
	}
	first, second := canceled.CancellationReasons[0], canceled.CancellationReasons[1]
	if *first.Code != "None" || *second.Code != "ConditionalCheckFailed" || len(second.Item) != 5 {
		t.Errorf("got reasons %s and %s with %d attributes; want None, and ConditionalCheckFailed with 5",
			*first.Code, *second.Code, len(second.Item))
	}
	got, err := db.GetItem(ctx, &dynamodb.GetItemInput{TableName: aws.String("orders"),
		Key: map[string]types.AttributeValue{"customer": order(100)["customer"], "number": order(100)["number"]}})
	if err != nil || got.Item != nil {
		t.Errorf("got %v, %v; want nothing of a canceled transaction", got.Item, err)
	}
}

func sdkStream(ctx context.Context, t *testing.T, streams *dynamodbstreams.Client) {
	t.Helper()
	list, err := streams.ListStreams(ctx, &dynamodbstreams.ListStreamsInput{TableName: aws.String("orders")})
	if err != nil || len(list.Streams) != 1 {
		t.Fatalf("got %v, %v; want a stream", list, err)
	}
	arn := list.Streams[0].StreamArn
	stream, err := streams.DescribeStream(ctx, &dynamodbstreams.DescribeStreamInput{StreamArn: arn})
	if err != nil {
		t.Fatal(err)
	}
	records := 0
	for _, shard := range stream.StreamDescription.Shards {
		iterator, err := streams.GetShardIterator(ctx, &dynamodbstreams.GetShardIteratorInput{
			StreamArn: arn, ShardId: shard.ShardId, ShardIteratorType: "TRIM_HORIZON",
		})
		if err != nil {
			t.Fatal(err)
		}
		page, err := streams.GetRecords(ctx, &dynamodbstreams.GetRecordsInput{ShardIterator: iterator.ShardIterator})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Records {
			if r.EventName != streamtypes.OperationTypeInsert || len(r.Dynamodb.NewImage) != 5 ||
				time.Since(*r.Dynamodb.ApproximateCreationDateTime) > time.Hour {
				t.Errorf("record %+v", r)
			}
		}
		records += len(page.Records)
	}
	if records != 50 {
		t.Errorf("got %d records; want 50", records)
	}
}
