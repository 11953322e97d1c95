package dynamodb

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// client returns AWS's SDK for Go as client of a handler that checks signatures; the SDK checks
// x-amz-crc32.
func client(t *testing.T, secret string) *sdk.Client {
	t.Helper()
	h := served(t)
	createTables(t, h)
	h.SetKeys(map[string]string{suiteKey: suiteSecret})
	return sdkOf(listening(t, h, nil), secret)
}

// sdkOf returns AWS's SDK for Go as client of an address.
func sdkOf(address, secret string) *sdk.Client {
	return sdk.New(sdk.Options{
		Region:           "us-east-1",
		BaseEndpoint:     aws.String("http://" + address),
		Credentials:      credentials.NewStaticCredentialsProvider(suiteKey, secret, ""),
		RetryMaxAttempts: 1,
	})
}

func str(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func num(n int) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: fmt.Sprint(n)}
}

func TestSDKItems(t *testing.T) {
	ctx, c := context.Background(), client(t, suiteSecret)
	for n := range 3 {
		_, err := c.PutItem(ctx, &sdk.PutItemInput{TableName: aws.String("notes"), Item: map[string]types.AttributeValue{
			"id": str("é"), "n": num(n), "b": &types.AttributeValueMemberB{Value: []byte{0, 255}},
			"m": &types.AttributeValueMemberM{Value: map[string]types.AttributeValue{"l": &types.AttributeValueMemberL{}}},
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
	got, err := c.GetItem(ctx, &sdk.GetItemInput{
		TableName: aws.String("notes"),
		Key:       map[string]types.AttributeValue{"id": str("é"), "n": num(1)},
	})
	if err != nil {
		t.Fatal(err)
	}
	if b, ok := got.Item["b"].(*types.AttributeValueMemberB); !ok || string(b.Value) != "\x00\xff" || len(got.Item) != 4 {
		t.Errorf("got %v; want four attributes with b of two bytes", got.Item)
	}
	pages := sdk.NewQueryPaginator(c, &sdk.QueryInput{TableName: aws.String("notes"), Limit: aws.Int32(1),
		KeyConditionExpression:    aws.String("id = :id"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":id": str("é")}})
	found := 0
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		found += len(page.Items)
	}
	if found != 3 {
		t.Errorf("got %d items in pages of one; want 3", found)
	}
	updated, err := c.UpdateItem(ctx, &sdk.UpdateItemInput{
		TableName:                 aws.String("notes"),
		Key:                       map[string]types.AttributeValue{"id": str("é"), "n": num(1)},
		UpdateExpression:          aws.String("ADD x :one"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":one": num(1)},
		ReturnValues:              types.ReturnValueUpdatedNew,
	})
	if err != nil {
		t.Fatal(err)
	}
	if x, ok := updated.Attributes["x"].(*types.AttributeValueMemberN); !ok || x.Value != "1" {
		t.Errorf("got %v; want x 1", updated.Attributes)
	}
}

func TestSDKErrors(t *testing.T) {
	ctx, c := context.Background(), client(t, suiteSecret)
	key := map[string]types.AttributeValue{"id": str("a")}
	_, err := c.GetItem(ctx, &sdk.GetItemInput{TableName: aws.String("none"), Key: key})
	if notFound := (*types.ResourceNotFoundException)(nil); !errors.As(err, &notFound) {
		t.Errorf("got %v; want ResourceNotFoundException", err)
	}
	if _, err := c.PutItem(ctx, &sdk.PutItemInput{TableName: aws.String("things"), Item: key}); err != nil {
		t.Fatal(err)
	}
	fresh := aws.String("attribute_not_exists(id)")
	_, err = c.PutItem(ctx, &sdk.PutItemInput{TableName: aws.String("things"), Item: key, ConditionExpression: fresh,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld})
	if failed := (*types.ConditionalCheckFailedException)(nil); !errors.As(err, &failed) || len(failed.Item) != 1 {
		t.Errorf("got %v; want ConditionalCheckFailedException with the item", err)
	}
	_, err = c.TransactWriteItems(ctx, &sdk.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
		{Put: &types.Put{TableName: aws.String("things"), Item: map[string]types.AttributeValue{"id": str("b")}}},
		{Put: &types.Put{TableName: aws.String("things"), Item: key, ConditionExpression: fresh}},
	}})
	canceled := (*types.TransactionCanceledException)(nil)
	if !errors.As(err, &canceled) || len(canceled.CancellationReasons) != 2 ||
		*canceled.CancellationReasons[1].Code != "ConditionalCheckFailed" {
		t.Errorf("got %v; want TransactionCanceledException with two reasons", err)
	}
}

func TestSDKWrongSecret(t *testing.T) {
	_, err := client(t, "wrong").GetItem(context.Background(), &sdk.GetItemInput{TableName: aws.String("things"),
		Key: map[string]types.AttributeValue{"id": str("a")}})
	var coded interface{ ErrorCode() string }
	if !errors.As(err, &coded) || coded.ErrorCode() != "InvalidSignatureException" {
		t.Errorf("got %v; want InvalidSignatureException", err)
	}
}
