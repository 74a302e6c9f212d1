"""The values that the paper publishes (Pix2Gif, Table 1 and Table 2). Figure 7 is published without numbers."""

TABLE_1: dict[str, dict[str, dict[str, float]]] = {
    "I2VGen-XL": {
        "ucf-101": {"fvd": 563.12, "clipsim": 0.2865, "pic": 0.6329},
        "msr-vtt": {"fvd": 278.62, "clipsim": 0.2272, "pic": 0.6018},
    },
    "DynamiCrafter": {
        "ucf-101": {"fvd": 527.06, "clipsim": 0.2796, "pic": 0.6307},
        "msr-vtt": {"fvd": 271.63, "clipsim": 0.2602, "pic": 0.6135},
    },
    "Pix2Gif": {
        "ucf-101": {"fvd": 285.02, "clipsim": 0.2815, "pic": 0.8763},
        "msr-vtt": {"fvd": 168.69, "clipsim": 0.2573, "pic": 0.8521},
    },
}
"""{method: {data set: {metric: value}}}."""

TABLE_2: dict[str, dict[float, tuple[float, float]]] = {
    "InstructPix2Pix": {1.4: (23.429, -0.229), 1.6: (25.492, -0.028), 1.8: (27.037, -0.423), 2.0: (27.530, 0.139)},
    "Pix2Gif-Base": {1.4: (7.580, 0.989), 1.6: (5.188, 0.987), 1.8: (5.595, 0.992), 2.0: (7.029, 0.991)},
    "Pix2Gif": {1.4: (1.746, 0.995), 1.6: (1.972, 0.995), 1.8: (2.944, 0.997), 2.0: (4.076, 0.997)},
}
"""{method: {cfg.img: (L2, Pearson correlation)}}. The formula of L2 is not published."""
