from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("hub_routing", "0002_push"),
    ]

    operations = [
        migrations.CreateModel(
            name="ProviderToken",
            fields=[
                ("key", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("issued_at", models.BigIntegerField()),
            ],
            options={
                "db_table": "hub_provider_token",
            },
        ),
    ]
