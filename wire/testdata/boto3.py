"""Speaks to a server of DynamoDB's API through boto3, and asserts what it answers."""
import sys
import time
from decimal import Decimal

import boto3
from boto3.dynamodb.conditions import Attr, Key
from botocore.config import Config
from botocore.exceptions import ClientError

endpoint = sys.argv[1]
db = boto3.resource("dynamodb", endpoint_url=endpoint, config=Config(retries={"max_attempts": 1}))


def refused(code, call, **parameters):
    try:
        call(**parameters)
    except ClientError as error:
        assert error.response["Error"]["Code"] == code, error
        return error.response
    raise AssertionError("not refused: " + code)


table = db.create_table(
    TableName="films",
    KeySchema=[{"AttributeName": "year", "KeyType": "HASH"}, {"AttributeName": "title", "KeyType": "RANGE"}],
    AttributeDefinitions=[{"AttributeName": "year", "AttributeType": "N"}, {"AttributeName": "title", "AttributeType": "S"},
                          {"AttributeName": "rating", "AttributeType": "N"}],
    LocalSecondaryIndexes=[{"IndexName": "by-rating", "Projection": {"ProjectionType": "KEYS_ONLY"},
                            "KeySchema": [{"AttributeName": "year", "KeyType": "HASH"}, {"AttributeName": "rating", "KeyType": "RANGE"}]}],
    BillingMode="PAY_PER_REQUEST",
)
table.wait_until_exists()

with table.batch_writer() as batch:
    for n in range(60):
        batch.put_item(Item={"year": 1990 + n % 3, "title": "Film %03d" % n, "rating": Decimal(n) / 10,
                             "info": {"plot": "nothing happens", "actors": ["A", "B"], "empty": "", "none": None}, "set": {1, 2, Decimal("3.5")}})

answer = table.query(KeyConditionExpression=Key("year").eq(1991) & Key("title").begins_with("Film 0"), ReturnConsumedCapacity="TOTAL")
assert answer["Count"] == 20, answer["Count"]
assert [i["title"] for i in answer["Items"]] == sorted(i["title"] for i in answer["Items"])

answer = table.query(IndexName="by-rating", KeyConditionExpression=Key("year").eq(1990), ScanIndexForward=False, Limit=3)
assert [i["rating"] for i in answer["Items"]] == [Decimal("5.7"), Decimal("5.4"), Decimal("5.1")], answer
assert set(answer["Items"][0]) == {"year", "title", "rating"}

count, start = 0, {}
while True:
    answer = table.scan(FilterExpression=Attr("rating").gte(3) & Attr("info.plot").contains("happens"), Limit=11, **start)
    count += answer["Count"]
    if "LastEvaluatedKey" not in answer:
        break
    start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}
assert count == 30, count

key = {"year": 1990, "title": "Film 000"}
answer = table.update_item(Key=key, UpdateExpression="SET info.actors[2] = :c, #r = if_not_exists(#r, :zero) + :d ADD #s :more REMOVE info.plot",
                           ConditionExpression=Attr("rating").eq(0), ExpressionAttributeNames={"#r": "rating", "#s": "set"},
                           ExpressionAttributeValues={":c": "C", ":d": Decimal("0.12345678901234567890123456789012345678"), ":zero": 0, ":more": {7}},
                           ReturnValues="ALL_NEW")
item = answer["Attributes"]
assert item["info"] == {"actors": ["A", "B", "C"], "empty": "", "none": None}, item
assert item["rating"] == Decimal("0.12345678901234567890123456789012345678"), item
assert item["set"] == {1, 2, Decimal("3.5"), 7}, item

response = refused("ConditionalCheckFailedException", table.put_item, Item=key, ConditionExpression=Attr("year").not_exists())
assert response["Error"]["Message"] == "The conditional request failed", response
refused("ValidationException", table.get_item, Key={"year": "1990", "title": "x"})
refused("ResourceNotFoundException", db.Table("nobody").get_item, Key={"id": "1"})

client = db.meta.client
client.update_time_to_live(TableName="films", TimeToLiveSpecification={"Enabled": True, "AttributeName": "until"})
assert client.describe_time_to_live(TableName="films")["TimeToLiveDescription"]["TimeToLiveStatus"] in ("ENABLING", "ENABLED")
backup = client.create_backup(TableName="films", BackupName="before")["BackupDetails"]
table.delete_item(Key=key)
assert "Item" not in table.get_item(Key=key)
for _ in range(400):
    if client.describe_backup(BackupArn=backup["BackupArn"])["BackupDescription"]["BackupDetails"]["BackupStatus"] == "AVAILABLE":
        break
    time.sleep(0.05)
client.restore_table_from_backup(TargetTableName="again", BackupArn=backup["BackupArn"])
client.get_waiter("table_exists").wait(TableName="again", WaiterConfig={"Delay": 1})
assert db.Table("again").get_item(Key=key)["Item"]["set"] == {1, 2, Decimal("3.5"), 7}
assert db.Table("again").query(IndexName="by-rating", KeyConditionExpression=Key("year").eq(1990))["Count"] == 20
table.delete()
table.wait_until_not_exists()
