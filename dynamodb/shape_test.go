package dynamodb

import (
	"fmt"
	"strings"
	"testing"
)

// checked returns the text of check's error for a request; "" if it has none.
func checked(t testing.TB, s *shape, request string) string {
	t.Helper()
	doc, ok := parse(request, 0)
	if !ok {
		t.Fatalf("not JSON: %s", request)
	}
	defer doc.release()
	if err := check(doc.root(), s); err != nil {
		return err.Error()
	}
	return ""
}

func TestTypes(t *testing.T) {
	const (
		aMap  = "Unrecognized collection type java.util.Map<java.lang.String, "
		class = "Unrecognized collection type class "
	)
	for _, c := range []struct {
		shape         *shape
		request, want string
	}{
		{shapeGetItem, `{"TableName":23}`, "NUMBER_VALUE cannot be converted to String"},
		{shapeGetItem, `{"TableName":34.56}`, "DECIMAL_VALUE cannot be converted to String"},
		{shapeGetItem, `{"TableName":true}`, "TRUE_VALUE cannot be converted to String"},
		{shapeGetItem, `{"TableName":false}`, "FALSE_VALUE cannot be converted to String"},
		{shapeGetItem, `{"TableName":[]}`, class + "java.lang.String"},
		{shapeGetItem, `{"TableName":{}}`, faultStructure},
		{shapeQuery, `{"Limit":"23"}`, "STRING_VALUE cannot be converted to Integer"},
		{shapeQuery, `{"Limit":[]}`, class + "java.lang.Integer"},
		{shapeCreateTable, `{"ProvisionedThroughput":{"ReadCapacityUnits":"1"}}`, "STRING_VALUE cannot be converted to Long"},
		{shapeGetItem, `{"ConsistentRead":"23"}`, "Unexpected token received from parser"},
		{shapeGetItem, `{"ConsistentRead":23}`, "NUMBER_VALUE cannot be converted to Boolean"},
		{shapeGetItem, `{"ConsistentRead":"Yes","TableName":"abc","Key":{}}`, ""},
		{shapeGetItem, `{"AttributesToGet":"a"}`, faultField},
		{shapeGetItem, `{"AttributesToGet":{}}`, faultStructure},
		{shapeGetItem, `{"Key":"a"}`, faultField},
		{shapeGetItem, `{"Key":[]}`, aMap + modelPrefix + "AttributeValue>"},
		{shapeGetItem, `{"Key":{"a":"b"}}`, faultElement},
		{shapeGetItem, `{"Key":{"a":[]}}`, class + modelPrefix + "AttributeValue"},
		{shapeGetItem, `{"Key":{"a":{"S":1}}}`, "NUMBER_VALUE cannot be converted to String"},
		{shapeGetItem, `{"Key":{"a":{"B":1}}}`, "only base-64-encoded strings are convertible to bytes"},
		{shapeGetItem, `{"Key":{"a":{"B":[]}}}`, class + "java.nio.ByteBuffer"},
		{shapeGetItem, `{"Key":{"a":{"B":"23456"}}}`, "Base64 encoded length is expected a multiple of 4 bytes but found: 5"},
		{shapeGetItem, `{"Key":{"a":{"B":"=+/="}}}`, "Invalid last non-pad Base64 character dectected"},
		{shapeGetItem, `{"Key":{"a":{"B":"+/+="}}}`, "Invalid last non-pad Base64 character dectected"},
		{
			shapeGetItem,
			`{"Key":{"a":{"M":{"b":{"L":[{"BS":["YQ==",1]}]}}}}}`,
			"only base-64-encoded strings are convertible to bytes",
		},
		{shapeGetItem, `{"Key":{"a":{"L":["x"]}}}`, faultElement},
		{shapeGetItem, `{"ExpressionAttributeNames":[]}`, aMap + "java.lang.String>"},
		{shapePutItem, `{"Expected":{"a":{"Value":"x"}}}`, faultField},
		{shapePutItem, `{"Expected":{"a":"x"}}`, faultElement},
		{shapeBatchWriteItem, `{"RequestItems":[]}`, aMap + "java.util.List<" + modelPrefix + "WriteRequest>>"},
		{shapeBatchWriteItem, `{"RequestItems":{"a":1}}`, faultCast},
		{shapeBatchWriteItem, `{"RequestItems":{"a":[{"PutRequest":1}]}}`, faultField},
		{shapeBatchGetItem, `{"RequestItems":{"a":{"Keys":[1]}}}`, faultCast},
		{shapeRestoreTableToPointInTime, `{"RestoreDateTime":"now"}`, "STRING_VALUE cannot be converted to Date"},
		{shapeListTables, `{"Limit":null,"Unknown":{"a":[1]}}`, ""},
	} {
		if got := checked(t, c.shape, c.request); got != c.want {
			t.Errorf("%s: got %q; want %q", c.request, got, c.want)
		}
	}
}

func TestConstraints(t *testing.T) {
	const pattern = "failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+"
	long := strings.Repeat("a", 256)
	for _, c := range []struct {
		shape         *shape
		request, want string
	}{
		{shapeGetItem, `{"TableName":"abc","Key":{}}`, ""},
		{shapeGetItem, `{"TableName":"arn:aws:dynamodb:us-east-1:123456789012:table/abc","Key":{}}`, ""},
		{shapeGetItem, `{"TableName":"arn:aws:s3:::abc","Key":{}}`,
			"1 validation error detected: Value 'arn:aws:s3:::abc' at 'tableName' " + pattern},
		{
			shapeGetItem,
			`{}`,
			"2 validation errors detected: Value null at 'key' failed to satisfy constraint: Member must not be null; " +
				"Value null at 'tableName' failed to satisfy constraint: Member must not be null",
		},
		{
			shapePutItem,
			`{"Item":{}}`,
			"1 validation error detected: Value null at 'tableName' failed to satisfy constraint: Member must not be null",
		},
		{shapePutItem, `{"Item":{},"TableName":""}`, emptyTable},
		{shapePutItem, `{"Item":{},"TableName":"` + long + `"}`, "1 validation error detected: Value '" + long +
			"' at 'tableName' failed to satisfy constraint: Member must have length less than or equal to 255"},
		{
			shapePutItem,
			`{"Item":{},"TableName":"bad table!@#"}`,
			"1 validation error detected: Value 'bad table!@#' at 'tableName' " + pattern,
		},
		{shapePutItem, `{"Item":{},"TableName":"a;"}`, "2 validation errors detected: Value 'a;' at 'tableName' " + pattern +
			"; Value 'a;' at 'tableName' failed to satisfy constraint: Member must have length greater than or equal to 3"},
		{
			shapeQuery,
			`{"TableName":"abc","Select":"x"}`,
			"1 validation error detected: Value 'x' at 'select' failed to satisfy constraint: " +
				"Member must satisfy enum value set: [SPECIFIC_ATTRIBUTES, COUNT, ALL_ATTRIBUTES, ALL_PROJECTED_ATTRIBUTES]",
		},
		{shapeQuery, `{"TableName":"abc","Limit":0}`,
			"1 validation error detected: Value at 'Limit' failed to satisfy constraint: Member must have value greater " +
				"than or equal to 1"},
		{
			shapeQuery,
			`{"Limit":0}`,
			"2 validation errors detected: Value null at 'tableName' failed to satisfy constraint: Member must not be null; " +
				"Value '0' at 'limit' failed to satisfy constraint: Member must have value greater than or equal to 1",
		},
		{shapeScan, `{"TableName":"abc","Limit":0}`,
			"1 validation error detected: Value '0' at 'limit' failed to satisfy constraint: Member must have value greater " +
				"than or equal to 1"},
		{shapeScan, `{"TableName":"abc","ScanFilter":{"a":{}}}`,
			"1 validation error detected: Value null at 'scanFilter.a.member.comparisonOperator' failed to satisfy " +
				"constraint: Member must not be null"},
		{shapeBatchGetItem, `{"RequestItems":{}}`, "The requestItems parameter is required for BatchGetItem"},
		{shapeBatchGetItem, `{"RequestItems":{"abc":{}}}`,
			"1 validation error detected: Value null at 'requestItems.abc.member.keys' failed to satisfy constraint: Member " +
				"must not be null"},
		{shapeBatchGetItem, `{"RequestItems":{"abc":{"Keys":[{}` + strings.Repeat(",{}", 100) + `]}}}`,
			"1 validation error detected: Value at 'RequestItems.abc.member.Keys' failed to satisfy constraint: Member must " +
				"have length less than or equal to 100"},
		{shapeBatchWriteItem, `{"RequestItems":{}}`, "The requestItems parameter is required for BatchWriteItem"},
		{shapeBatchWriteItem, `{"RequestItems":{"a":[{"PutRequest":{}}]}}`,
			"2 validation errors detected: Value '{a=[WriteRequest(putRequest=PutRequest())]}' at 'requestItems' failed to " +
				"satisfy constraint: " +
				"Map keys must satisfy constraint: [Member must have length less than or equal to 255, Member must have length " +
				"greater than or equal to 3, " +
				"Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+]; " +
				"Value null at 'requestItems.a.member.1.member.putRequest.item' failed to satisfy constraint: Member must not " +
				"be null"},
		{shapeBatchWriteItem, `{"RequestItems":{"abc":[]}}`,
			"1 validation error detected: Value '{abc=[]}' at 'requestItems' failed to satisfy constraint: Map value must " +
				"satisfy constraint: " +
				"[Member must have length less than or equal to 25, Member must have length greater than or equal to 1]"},
		{shapeTransactGetItems, `{"TransactItems":[]}`,
			"1 validation error detected: Value '[]' at 'transactItems' failed to satisfy constraint: Member must have " +
				"length greater than or equal to 1"},
		{shapeDescribeTable, `{}`, "The parameter 'TableName' is required but was not present in the request"},
		{
			shapeDescribeTable,
			`{"TableName":"a;"}`,
			"TableName must be at least 3 characters long and at most 255 characters long",
		},
		{
			shapeCreateTable,
			`{"TableName":"ab","AttributeDefinitions":[],"KeySchema":[{"AttributeName":"a","KeyType":"HASH"}]}`,
			"1 validation error detected: Value 'ab' at 'tableName' failed to satisfy constraint: Member must have length " +
				"greater than or equal to 3",
		},
		{
			shapeCreateTable,
			`{"TableName":"abc","AttributeDefinitions":[{"AttributeName":"a","AttributeType":"X"}],"KeySchema":[{"AttributeName":"a","KeyType":"HASH"}]}`,
			"1 validation error detected: Value 'X' at 'attributeDefinitions.1.member.attributeType' failed to satisfy " +
				"constraint: Member must satisfy enum value set: [B, N, S]",
		},
		{shapeCreateTable, `{"TableName":"abc","AttributeDefinitions":[],"KeySchema":[` +
			`{"AttributeName":"a","KeyType":"HASH"},{"AttributeName":"b","KeyType":"RANGE"},{"AttributeName":"c","KeyType":"RANGE"}]}`,
			"1 validation error detected: Value '[KeySchemaElement(attributeName=a, keyType=HASH), " +
				"KeySchemaElement(attributeName=b, keyType=RANGE), " +
				"KeySchemaElement(attributeName=c, keyType=RANGE)]' at 'keySchema' failed to satisfy constraint: Member must " +
				"have length less than or equal to 2"},
		{shapeUpdateTable, `{"TableName":"abc","GlobalSecondaryIndexUpdates":[{"Update":{"IndexName":"abc"}}]}`,
			"1 validation error detected: Value null at 'globalSecondaryIndexUpdates.1.member.update.provisionedThroughput' " +
				"failed to satisfy constraint: Member must not be null"},
		{
			shapeUpdateTable,
			`{"TableName":"abc","GlobalSecondaryIndexUpdates":[{"Update":{"IndexName":"abc","OnDemandThroughput":{}}}]}`,
			"",
		},
		{shapeListTables, `{"Limit":101}`,
			"1 validation error detected: Value '101' at 'limit' failed to satisfy constraint: Member must have value less " +
				"than or equal to 100"},
	} {
		if got := checked(t, c.shape, c.request); got != c.want {
			t.Errorf("%.200s:\n got %q\nwant %q", c.request, got, c.want)
		}
	}
}

func TestFaultsAreLimited(t *testing.T) {
	got := checked(t, shapeCreateTable, `{"TableName":"abc","AttributeDefinitions":[],"KeySchema":[{"AttributeName":"a","KeyType":"HASH"}],`+
		`"LocalSecondaryIndexes":[{},{},{},{},{},{}]}`)
	if want := "10 validation errors detected: "; !strings.HasPrefix(got, want) || strings.Count(got, "; ") != 9 {
		t.Errorf("got %q; want %q and ten of them", got, want)
	}
	var puts []string
	for i := range 26 {
		puts = append(puts, fmt.Sprintf(`{"PutRequest":{"Item":{"a":{"S":"%d%s"}}}}`, i, strings.Repeat("x", 100_000)))
	}
	got = checked(t, shapeBatchWriteItem, `{"RequestItems":{"abc":[`+strings.Join(puts, ",")+`]}}`)
	if len(got) > maxEchoBytes+200_000 || !strings.Contains(got, "...]}' at 'requestItems'") {
		t.Errorf("got %d bytes, %.300s; want the value cut", len(got), got)
	}
}

func TestTableOf(t *testing.T) {
	for in, want := range map[string]string{
		"users": "users",
		"arn:aws:dynamodb:us-east-1:123456789012:table/users":    "users",
		"arn:aws-cn:dynamodb:cn-north-1:123456789012:table/a-._": "a-._",
	} {
		if got := tableOf(in); got != want {
			t.Errorf("tableOf(%q): got %q; want %q", in, got, want)
		}
	}
	for _, in := range []string{
		"arn:aws:sqs:us-east-1:123456789012:users",
		"arn:aws:dynamodb:us-east-1:123456789012:table/users/stream/2026-01-01T00:00:00.000",
		"arn:aws:dynamodb:us-east-1:123456789012:table/users/",
		"arn:aws:dynamodb:us-east-1:123456789012:table/",
		"arn:aws:dynamodb:us-east-1:123456789012:table/.", "arn:aws:dynamodb:us-east-1:123456789012:table/..",
		"arn:aws:dynamodb:us-east-1:123456789012:table/<b>", "arn:aws:dynamodb:us-east-1:123456789012:table/a\x1b[31m",
		"arn:aws:dynamodb:us-east-1:123456789012:table/abc\n", "arn:aws:dynamodb:us-east-1:123456789012:table/ab",
		"arn:aws:dynamodb:us-east-1:123456789012:table/" + strings.Repeat("a", 256),
		"arn:aws:dynamodb:us-east-1:123456789012:abc", "arn:aws:dynamodb:us-east-1::table/abc",
		"arn:aws:dynamodb::123456789012:table/abc", "arn::dynamodb:us-east-1:123456789012:table/abc", "arn:table/abc",
		"arn:aws:dynamodb:us\x1b:123456789012:table/abc",
	} {
		want := in
		if got := tableOf(in); got != want {
			t.Errorf("tableOf(%q): got %q; want %q", in, got, want)
		}
	}
}

func TestCheckAllocatesNothing(t *testing.T) {
	for name, c := range sampleRequests() {
		doc, _ := parse(c.request, 0)
		if got := testing.AllocsPerRun(100, func() {
			if err := check(doc.root(), c.shape); err != nil {
				t.Fatal(err)
			}
		}); got != 0 {
			t.Errorf("%s: got %v allocations; want 0", name, got)
		}
	}
}

type sampleRequest struct {
	shape   *shape
	request string
}

func sampleRequests() map[string]sampleRequest {
	attributes := `"pk":{"S":"user"}`
	for i := range 10 {
		attributes += fmt.Sprintf(`,"a%d":{"S":"%s"}`, i, strings.Repeat("v", 90))
	}
	return map[string]sampleRequest{
		"GetItem": {shapeGetItem, `{"TableName":"users","Key":{"pk":{"S":"user#1234567890"}},"ConsistentRead":true}`},
		"PutItem": {shapePutItem, `{"TableName":"users","Item":{` + attributes + `}}`},
		"Query": {shapeQuery, `{"TableName":"users","KeyConditionExpression":"#p = :p","ExpressionAttributeNames":{"#p":"pk"},` +
			`"ExpressionAttributeValues":{":p":{"S":"user"}},"Limit":10}`},
	}
}

func BenchmarkCheck(b *testing.B) {
	for name, c := range sampleRequests() {
		b.Run(name, func(b *testing.B) {
			doc, _ := parse(c.request, 0)
			for b.Loop() {
				if err := check(doc.root(), c.shape); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// depth returns the length of the path to the deepest constraint of a shape.
func depth(s *shape) int {
	most := 0
	for i := range s.members {
		if m := &s.members[i]; !m.free {
			most = max(most, 1+depth(m.shape))
		}
	}
	if s.element != nil && !s.element.free {
		most = 1 + depth(s.element)
	}
	return most
}

func TestShapesAreNotTooDeep(t *testing.T) {
	for _, named := range allOperations() {
		for name, op := range named {
			if got := depth(op.shape); got > maxPlaces {
				t.Errorf("%s: got constraints %d places deep; want at most %d", name, got, maxPlaces)
			}
		}
	}
}

func FuzzCheck(f *testing.F) {
	for _, c := range sampleRequests() {
		f.Add(c.request)
	}
	f.Add(`{"RequestItems":{"a":[{"PutRequest":{"Item":{"":{"M":null}}}},null]},"KeySchema":[null,{"":1}],"TransactItems":[{"Put":{}}]}`)
	all := allOperations()
	f.Fuzz(func(_ *testing.T, request string) {
		doc, ok := parse(request, 0)
		if !ok || doc.root().kind() != object {
			return
		}
		defer doc.release()
		for _, named := range all {
			for _, op := range named {
				_ = check(doc.root(), op.shape)
			}
		}
	})
}
